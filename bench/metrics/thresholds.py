"""F-measure and enhanced-alignment measure at every threshold of a map, from one count of its levels."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Mask

THRESHOLDS = 256
"""Position k of a curve is of the map binarised at ``>= k / 255``."""

BETA_SQUARED = 0.3
"""Of the F-measures that compare a binarised map; the weighted one has 1."""

EPSILON = float(np.finfo(np.float64).eps)

MOST_COUNTED = 1 << 24
"""OpenCV gives counts in float32, where larger ones are rounded."""

Counts: TypeAlias = NDArray[np.int64]


def found_from(pred: NDArray[np.float64], mask: Mask) -> tuple[Counts, Counts]:
    """How many pixels of a map are at or above each threshold.

    Args:
        pred: ``(H, W)`` in [0, 1].
        mask: ``(H, W)`` bool, the ground truth.

    Returns:
        ``(THRESHOLDS,)`` each, from the lowest threshold to the highest: of the foreground, and of the image.
    """
    levels = (pred * 255).astype(np.uint8)
    return _at_least(levels, mask.view(np.uint8)), _at_least(levels, None)


def f_measure(hits: Counts, found: Counts, foreground: int) -> NDArray[np.float64]:
    """F-measure, beta^2 = 0.3, of masks that find ``hits`` of ``foreground`` pixels with ``found`` ones; 0 for no hit.

    Achanta et al., CVPR 2009.

    Args:
        hits: ``(L,)``, pixels that are foreground in both.
        found: ``(L,)``, those of the prediction.
        foreground: those of the ground truth.

    Returns:
        ``(L,)`` in [0, 1].
    """
    precision, recall = hits / np.maximum(found, 1), hits / max(foreground, 1)
    both = BETA_SQUARED * precision + recall
    return np.asarray((1 + BETA_SQUARED) * precision * recall / np.where(both == 0, 1, both))


def enhanced_alignment(hits: Counts, found: Counts, foreground: int, pixels: int) -> NDArray[np.float64]:
    """E-measure of masks that find ``hits`` of ``foreground`` pixels with ``found`` ones.

    Fan et al., IJCAI 2018. A pixel's value depends on no more than its class in both masks, so it is computed for the
    four pairs of classes.

    Args:
        hits: ``(L,)``, pixels that are foreground in both.
        found: ``(L,)``, those of the prediction.
        foreground: those of the ground truth.
        pixels: those of the image, at least 2.

    Returns:
        ``(L,)`` in [0, ``pixels / (pixels - 1)``].
    """
    if foreground in (0, pixels):
        return (found if foreground else pixels - found) / (pixels - 1 + EPSILON)
    predicted, true = found / pixels, foreground / pixels
    missed = foreground - hits
    total = np.zeros(len(hits))
    for count, of_prediction, of_truth in (
        (hits, 1 - predicted, 1 - true),
        (found - hits, 1 - predicted, -true),
        (missed, -predicted, 1 - true),
        (pixels - found - missed, -predicted, -true),
    ):
        alignment = 2 * (of_prediction * of_truth) / (of_prediction**2 + of_truth**2 + EPSILON)
        total += (alignment + 1) ** 2 / 4 * count
    return total / (pixels - 1 + EPSILON)


def _at_least(levels: NDArray[np.uint8], where: NDArray[np.uint8] | None) -> Counts:
    import cv2  # late: the command line reads the table of metrics, and must not wait for it

    rows = max(1, MOST_COUNTED // levels.shape[1])
    histogram = np.zeros(THRESHOLDS, np.int64)
    for top in range(0, len(levels), rows):
        strip = slice(top, top + rows)
        inside = None if where is None else where[strip]
        counts = cv2.calcHist([levels[strip]], [0], inside, [THRESHOLDS], [0, THRESHOLDS])
        histogram += counts.ravel().astype(np.int64)
    return np.cumsum(histogram[::-1])[::-1]
