"""The base's map as it is: the row that gains are measured against."""

from __future__ import annotations

from collections.abc import Sequence

from bench.contracts import Budget, Image, ProbabilityMap, Refiner


class Identity(Refiner):
    """Returns a copy of each map."""

    cost = Budget(seconds=0.01, memory_mb=10)

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """See `bench.contracts.Refiner`."""
        return [probs.copy() for probs in maps]
