"""What a plug-in gave back, before anything is made of it."""

from __future__ import annotations

import numpy as np

from bench.contracts import ProbabilityMap, UserError
from bench.images import check_map


def check_output(probs: ProbabilityMap, shape: tuple[int, ...], where: str) -> None:
    """Raise UserError unless a base or a refiner returned a float32 map in [0, 1] of the wanted shape."""
    if not isinstance(probs, np.ndarray) or probs.shape != shape or probs.dtype != np.float32:
        got = f"{getattr(probs, 'dtype', type(probs).__name__)} {getattr(probs, 'shape', '')}"
        raise UserError(f"returned {got}, not a float32 map {shape}", where, "the plug-in must keep the map's size")
    check_map(probs, where)
