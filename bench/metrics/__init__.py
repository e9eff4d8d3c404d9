"""Scores of one prediction against its ground truth: pure functions on numpy arrays, at the mask's own size."""

from __future__ import annotations

from bench.contracts import Mask
from bench.metrics.arguments import Prediction, binarised
from bench.metrics.boundary import DIAGONAL_RATIO, boundary_accuracy, boundary_iou
from bench.metrics.error import mae
from bench.metrics.overlap import count_ratio, counts, iou, iou_dataset

__all__ = [
    "METRICS",
    "METRIC_VERSION",
    "boundary_accuracy",
    "boundary_iou",
    "counts",
    "iou",
    "iou_dataset",
    "mae",
    "score",
]

METRICS = {
    "iou": "mIoU: foreground IoU, mean over images",
    "iou_dataset": "IoU of pixel counts summed over the split",
    "boundary_iou": "Boundary IoU, d = 15 px (the paper's mBA)",
    "boundary_iou_2pct": "Boundary IoU, d = 2 % of the diagonal",
    "boundary_accuracy": "boundary accuracy (CascadePSP's mBA)",
    "mae": "MAE of the map",
}
"""Column -> what a table of means calls it."""

METRIC_VERSION = 1
"""Part of each cell's identity: raise it when a change here changes a number."""


def score(probs: Prediction, mask: Mask) -> dict[str, float | int]:
    """All metric columns of one image's record, by name, in the store's order.

    Empty masks, both / ground truth alone / prediction alone: the IoUs are 1 / 0 / 0; ``boundary_accuracy`` is NaN
    where the ground truth is all background or all foreground; ``mae`` is defined always.

    Args:
        probs: ``(H, W)`` float map in [0, 1], binarised at ``>= 0.5`` for all columns but ``mae``; or a bool mask.
        mask: ``(H, W)`` bool, the ground truth.

    Raises:
        ValueError: shapes differ, a dtype is ambiguous, or the map has NaN or leaves [0, 1].

    Example:
        >>> import numpy as np
        >>> from bench.metrics import score
        >>> row = score(np.array([[0.75, 0.75, 0.5, 0.0]], dtype=np.float32), np.array([[True, True, False, False]]))
        >>> row["intersection"], row["union"], row["boundary_accuracy"], row["mae"]
        (2, 3, 0.5, 0.25)
    """
    pred = binarised(probs, mask)
    intersection, union = counts(pred, mask)
    return {
        "iou": count_ratio(intersection, union),
        "intersection": intersection,
        "union": union,
        "boundary_iou": boundary_iou(pred, mask),
        "boundary_iou_2pct": boundary_iou(pred, mask, ratio=DIAGONAL_RATIO),
        "boundary_accuracy": boundary_accuracy(pred, mask),
        "mae": mae(probs, mask),
    }
