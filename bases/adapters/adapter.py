"""What a network that is there already is to the harness: a base without a training."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from bench.contracts import Dataset, UserError


class Adapter:
    """The part of `bench.contracts.BaseNetwork` that all adapters share."""

    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    version: ClassVar[int] = 1
    trainable: ClassVar[bool] = False

    def __getstate__(self) -> dict[str, Any]:
        """Without what was read from files: another process reads them itself, and a runtime's objects cannot go."""
        read = {name for kind in type(self).__mro__ for name, one in vars(kind).items() if type(one) is cached_property}
        return {name: value for name, value in self.__dict__.items() if name not in read}

    def fit(self, train: Dataset, val: Dataset, workdir: Path) -> None:
        """Nothing to learn."""


def at_least(least: int, **numbers: int) -> None:
    """Raises UserError for the first of the parameters that is smaller."""
    for name, value in numbers.items():
        if value < least:
            raise UserError(f"{name} is {value}", f"{name}=", f"give {least} or more")
