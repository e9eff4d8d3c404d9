"""Error of the probability map itself."""

from __future__ import annotations

import math

import numpy as np

from bench.contracts import Mask
from bench.metrics.arguments import Prediction, check_ignore, checked

PIECE = 1 << 15
"""Pixels whose errors are held at once."""


def mae(probs: Prediction, mask: Mask, *, ignore: Mask | None = None) -> float:
    """Mean absolute error of the map, not of its binarisation.

    The map is taken as it is: many saliency toolboxes stretch each map to [0, 1] first, which rewards
    low contrast and changes the number.

    Empty masks: nothing special; with an empty ground truth it is the mean of the map.

    Args:
        probs: ``(H, W)`` float map in [0, 1]; a bool mask counts as a map of zeros and ones.
        mask: ``(H, W)`` bool, the ground truth.
        ignore: ``(H, W)`` bool, void pixels, which count for nothing, see `bench.metrics.arguments.cleared`; None for
            none.

    Returns:
        Mean of |probs - mask| over pixels, summed in float64, in [0, 1]; 0 is best. NaN where all is void.

    Raises:
        ValueError: shapes differ, a dtype is ambiguous, or the map has NaN or leaves [0, 1].

    Example:
        >>> import numpy as np
        >>> from bench.metrics import mae
        >>> mae(np.array([[0.75, 0.25]], dtype=np.float32), np.array([[True, False]]))
        0.25
        >>> mae(np.full((1, 2), 0.5, dtype=np.float32), np.zeros((1, 2), dtype=bool))
        0.5
    """
    checked(probs, mask)
    if ignore is not None:
        check_ignore(ignore, mask)
    return mean_error(probs, mask, ignore)


def mean_error(probs: Prediction, mask: Mask, ignore: Mask | None) -> float:
    """`mae` of what has been checked."""
    if ignore is None:
        return _total(probs.ravel(), mask.ravel()) / mask.size
    counted = ~ignore
    pixels = int(np.count_nonzero(counted))
    return _total(probs[counted], mask[counted]) / pixels if pixels else math.nan


def _total(probs: Prediction, mask: Mask) -> float:
    """Sum of |probs - mask|, both ``(N,)``, in the order in which numpy sums: halves, whose first is a multiple of 8.

    So it is numpy's ``abs(probs - mask).sum()`` to the last bit, but a piece at a time, which stays in a processor's
    cache: half the time at 1024 x 1024.
    """
    if len(mask) > PIECE:
        half = len(mask) // 2
        half -= half % 8
        return _total(probs[:half], mask[:half]) + _total(probs[half:], mask[half:])
    errors = probs.astype(np.float64)
    errors -= mask.view(np.uint8)
    return float(np.abs(errors, out=errors).sum())
