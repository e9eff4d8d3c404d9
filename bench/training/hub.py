"""How a parameter names a model: by its folder, or by its name on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator
from typing_extensions import TypeAliasType


def folder_or_name(value: Any) -> Any:
    """A folder as a `Path`, so that its contents enter the cell's identity; any other value as it is."""
    return Path(value) if isinstance(value, str) and Path(value).is_dir() else value


ModelId = TypeAliasType("ModelId", Annotated[Path | str, BeforeValidator(folder_or_name)])
