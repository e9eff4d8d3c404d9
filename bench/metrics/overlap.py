"""Intersection over union of the foreground, for one image and for a whole split."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from bench.contracts import Mask
from bench.metrics.arguments import Prediction, cleared


def iou(pred: Prediction, mask: Mask, *, ignore: Mask | None = None) -> float:
    """Foreground IoU of one image. The table column mIoU is its mean over images.

    Empty masks: both empty is 1, since nothing was missed and nothing invented; one empty is 0.

    Args:
        pred: ``(H, W)`` bool, or a float map in [0, 1], binarised at ``>= 0.5``.
        mask: ``(H, W)`` bool, the ground truth.
        ignore: ``(H, W)`` bool, void pixels, which count for nothing, see `bench.metrics.arguments.cleared`; None for
            none.

    Returns:
        |pred & mask| / |pred or mask|, in [0, 1].

    Raises:
        ValueError: shapes differ, a dtype is ambiguous, or the map has NaN or leaves [0, 1].

    Example:
        >>> import numpy as np
        >>> from bench.metrics import iou
        >>> mask = np.array([[True, True, False, False]])
        >>> iou(np.array([[0.9, 0.5, 0.7, 0.6]], dtype=np.float32), mask)
        0.5
        >>> iou(np.zeros((1, 4), dtype=bool), mask)
        0.0
        >>> iou(np.zeros((1, 4), dtype=bool), np.zeros((1, 4), dtype=bool))
        1.0
    """
    return count_ratio(*counts(pred, mask, ignore=ignore))


def counts(pred: Prediction, mask: Mask, *, ignore: Mask | None = None) -> tuple[int, int]:
    """Pixels in the intersection and in the union: what `iou_dataset` sums over a split.

    Empty masks: both empty is ``(0, 0)``.

    Args:
        pred: ``(H, W)`` bool, or a float map in [0, 1], binarised at ``>= 0.5``.
        mask: ``(H, W)`` bool, the ground truth.
        ignore: ``(H, W)`` bool, void pixels, which count for nothing, see `bench.metrics.arguments.cleared`; None for
            none.

    Raises:
        ValueError: shapes differ, a dtype is ambiguous, or the map has NaN or leaves [0, 1].

    Example:
        >>> import numpy as np
        >>> from bench.metrics import counts
        >>> counts(np.array([[True, True, False]]), np.array([[False, True, False]]))
        (1, 2)
    """
    found, truth = cleared(pred, mask, ignore)
    return int(np.count_nonzero(found & truth)), int(np.count_nonzero(found | truth))


def iou_dataset(intersections: ArrayLike, unions: ArrayLike) -> float:
    """IoU of pixel counts summed over a split, which large objects dominate.

    The paper's released code reports this one, with 1 added to both sums; here nothing is added.

    Empty masks: an image where both are empty adds nothing; where all are so, 0/0 is 1. No images is NaN.

    Args:
        intersections: ``(N,)`` integers, the first of `counts` for each image.
        unions: ``(N,)`` integers, the second of `counts` for each image.

    Returns:
        sum of intersections / sum of unions, in [0, 1].

    Raises:
        ValueError: lengths differ, not one-dimensional, not integers, or not 0 <= intersection <= union.

    Example:
        >>> from bench.metrics import iou_dataset
        >>> iou_dataset([1, 5], [10, 10])
        0.3
        >>> iou_dataset([0, 0], [0, 0])
        1.0
    """
    inside, total = np.asarray(intersections), np.asarray(unions)
    if inside.ndim != 1 or inside.shape != total.shape:
        raise ValueError(f"expected two lists of one count an image, got shapes {inside.shape} and {total.shape}")
    if inside.size == 0:
        return math.nan
    if inside.dtype.kind not in "iu" or total.dtype.kind not in "iu":
        raise ValueError(f"expected integer counts, got {inside.dtype} and {total.dtype}")
    if (inside < 0).any() or (inside > total).any():
        raise ValueError("expected 0 <= intersection <= union for each image, got counts that break it")
    return count_ratio(int(inside.sum()), int(total.sum()))


def count_ratio(intersection: int, union: int) -> float:
    """``intersection / union``, with 0/0 = 1: two empty sets agree."""
    return intersection / union if union else 1.0
