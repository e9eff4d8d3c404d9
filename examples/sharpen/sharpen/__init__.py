"""sharpen: a refiner for refinebench. `bench.contracts.Refiner` is what it keeps to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.contracts import Image, ProbabilityMap, Refiner, UserError


class Sharpen(Refiner):
    """Sharpens the map: the odds of each pixel to the power of ``gain``, a line that `bench list` shows."""

    # Keyword-only, annotated, with a default: that makes it a parameter, `sharpen[gain=3]`.
    def __init__(self, *, gain: float = 2.0) -> None:
        if not gain > 0:
            # One line that says what, where and how to mend it, in place of a traceback.
            raise UserError(f"gain={gain:g}", "sharpen[gain=...]", "give a number above 0")
        self.gain = gain

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """A new map for each: float32 ``(H, W)`` in [0, 1]. The arrays given are not changed."""
        refined = []
        for probs in maps:
            # In double precision, as a float32 odd to a high power is soon 0.
            foreground = probs.astype(np.float64) ** self.gain
            background = (1 - probs.astype(np.float64)) ** self.gain
            refined.append((foreground / (foreground + background)).astype(np.float32))
        return refined
