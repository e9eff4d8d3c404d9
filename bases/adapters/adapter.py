"""What a network that is there already is to the harness: a base without a training."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from bench.contracts import Dataset


class Adapter:
    """The part of `bench.contracts.BaseNetwork` that all adapters share."""

    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    version: ClassVar[int] = 1
    trainable: ClassVar[bool] = False

    def fit(self, train: Dataset, val: Dataset, workdir: Path) -> None:
        """Nothing to learn."""
