"""The base's map as it is: the row that gains are measured against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.contracts import Budget, Image, MapDataset, ProbabilityMap


class Identity:
    """Returns a copy of each map."""

    requires: tuple[str, ...] = ()
    extra = ""
    version = 1
    trainable = False
    uses_ground_truth = False
    cost = Budget(seconds=0.01, memory_mb=10)

    def fit(self, val: MapDataset, workdir: Path) -> None:
        """Nothing to learn."""

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """See `bench.contracts.Refiner`."""
        return [probs.copy() for probs in maps]
