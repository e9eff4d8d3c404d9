"""Test-time augmentation by flips and quarter turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import numpy as np

from bench.contracts import Budget, Image, ProbabilityMap, Refiner
from bench.training.turns import turned, turned_back

Flips: TypeAlias = Literal["horizontal", "both", "turns"]

MOVES: dict[Flips, tuple[int, ...]] = {"horizontal": (4,), "both": (4, 6, 2), "turns": (1, 2, 3, 4, 7, 6, 5)}
"""Name -> what is done to the image besides leaving it: of `turns.TURNS`, in the order in which maps are summed."""

_AXES = (0, 1)
"""Of the rows and columns of images and maps."""


class FlipAverage(Refiner):
    """Averages the map with the base's maps of the flipped image, flipped back.

    The base is asked for one more prediction for each flip. Needs a base that can be asked for maps of images that are
    in no dataset, so not one that reads its maps from disk.

    Args:
        flips: ``horizontal`` (2 maps in the mean), ``both`` ways (4), or with quarter ``turns`` too (8).
    """

    cost = Budget(seconds=0.02, memory_mb=20)  # its own; the predictions are the base's

    def __init__(self, *, flips: Flips = "horizontal") -> None:
        self.flips = flips
        self._base: Callable[[Sequence[Image]], list[ProbabilityMap]] | None = None

    def ask(self, base: Callable[[Sequence[Image]], list[ProbabilityMap]]) -> None:
        """See `bench.contracts.AsksBase`."""
        self._base = base

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """See `bench.contracts.Refiner`.

        Raises:
            RuntimeError: `ask` was not called.
        """
        if self._base is None:
            raise RuntimeError("ask(base) comes before refine")
        sums = [probs.astype(np.float64) for probs in maps]
        moves = MOVES[self.flips]
        for turn in moves:
            moved = [np.ascontiguousarray(turned(image, turn, _AXES)) for image in images]
            for total, probs in zip(sums, self._base(moved), strict=True):
                total += turned_back(probs, turn, _AXES)
        return [(total / (len(moves) + 1)).astype(np.float32) for total in sums]
