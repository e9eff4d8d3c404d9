"""The released code's pseudo-labels as one would write them down.

What `bench.patches` is timed against. Patch by patch, threshold by threshold (t / 20 for t = 1..20),
``map > threshold`` in numpy, intersection and union by sums, 1 added to both, the first maximum. Nothing is slowed on
purpose; nothing is shared between thresholds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Iou = Callable[[np.ndarray, np.ndarray], float]


def iou_of_floats(predicted: np.ndarray, truth: np.ndarray) -> float:
    """(I + 1) / (U + 1), with both as float64 zeros and ones, as the released code has them."""
    predicted = predicted.astype(np.float64)
    intersection = (predicted * truth).sum()
    union = predicted.sum() + truth.sum() - intersection
    return float((intersection + 1) / (union + 1))


def iou_of_booleans(predicted: np.ndarray, truth: np.ndarray) -> float:
    """The same with both as booleans, which takes about two thirds of the time."""
    return float(((predicted & truth).sum() + 1) / ((predicted | truth).sum() + 1))


def grid_as_written(
    probs: np.ndarray, truth: np.ndarray, patch: int, iou: Iou = iou_of_floats
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Best of 20 thresholds for every patch.

    Args:
        probs: float64 ``(H, W)`` in [0, 1].
        truth: ``(H, W)``, in the type that ``iou`` takes.
        patch: side of a patch; those at the border may be smaller.

    Returns:
        Labels, bool ``(H, W)``; thresholds and IoUs, float64 ``(rows, columns)`` of the patch grid.
    """
    height, width = probs.shape
    labels = np.zeros(probs.shape, bool)
    thresholds = np.zeros((-(-height // patch), -(-width // patch)))
    ious = np.zeros(thresholds.shape)
    for row, column in np.ndindex(*thresholds.shape):
        window = (slice(row * patch, (row + 1) * patch), slice(column * patch, (column + 1) * patch))
        best, chosen = -1.0, 0.0
        for step in range(1, 21):
            threshold = round(0.05 * step, 2)
            score = iou(probs[window] > threshold, truth[window])
            if score > best:
                best, chosen = score, threshold
        thresholds[row, column], ious[row, column] = chosen, best
        labels[window] = probs[window] > chosen
    return labels, thresholds, ious
