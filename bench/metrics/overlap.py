"""Intersection over union of the foreground, for one image and for a whole split; Dice, precision and recall."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from bench.contracts import Mask, Metric, ProbabilityMap
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


def dice(pred: Prediction, mask: Mask) -> float:
    """Dice coefficient of the foreground, the F1 of its pixels: ``2 IoU / (1 + IoU)`` of each image.

    Empty masks: both empty is 1; one empty is 0.

    Args:
        pred: ``(H, W)`` bool, or a float map in [0, 1], binarised at ``>= 0.5``.
        mask: ``(H, W)`` bool, the ground truth.

    Returns:
        2 |pred & mask| / (|pred| + |mask|), in [0, 1].

    Raises:
        ValueError: shapes differ, a dtype is ambiguous, or the map has NaN or leaves [0, 1].

    Example:
        >>> import numpy as np
        >>> from bench.metrics import dice
        >>> dice(np.array([[True, True, False]]), np.array([[False, True, True]]))
        0.5
    """
    intersection, union = counts(pred, mask)
    return count_ratio(2 * intersection, intersection + union)


def precision(pred: Prediction, mask: Mask) -> float:
    """Share of the pixels found that are foreground.

    Empty masks: both empty is 1; one empty is 0, as for `iou`: an image where nothing was found is not left out of the
    mean, which would reward finding nothing.

    Args:
        pred: ``(H, W)`` bool, or a float map in [0, 1], binarised at ``>= 0.5``.
        mask: ``(H, W)`` bool, the ground truth.

    Returns:
        |pred & mask| / |pred|, in [0, 1].

    Raises:
        ValueError: shapes differ, a dtype is ambiguous, or the map has NaN or leaves [0, 1].

    Example:
        >>> import numpy as np
        >>> from bench.metrics import precision
        >>> precision(np.array([[True, True, False]]), np.array([[False, True, False]]))
        0.5
    """
    found, truth = cleared(pred, mask, None)
    return _share(int(np.count_nonzero(found & truth)), int(np.count_nonzero(found)), int(np.count_nonzero(truth)))


def recall(pred: Prediction, mask: Mask) -> float:
    """Share of the foreground that was found.

    Empty masks: both empty is 1; one empty is 0, as for `iou`.

    Args:
        pred: ``(H, W)`` bool, or a float map in [0, 1], binarised at ``>= 0.5``.
        mask: ``(H, W)`` bool, the ground truth.

    Returns:
        |pred & mask| / |mask|, in [0, 1].

    Raises:
        ValueError: shapes differ, a dtype is ambiguous, or the map has NaN or leaves [0, 1].

    Example:
        >>> import numpy as np
        >>> from bench.metrics import recall
        >>> recall(np.array([[True, True, False]]), np.array([[False, True, False]]))
        1.0
    """
    found, truth = cleared(pred, mask, None)
    return _share(int(np.count_nonzero(found & truth)), int(np.count_nonzero(truth)), int(np.count_nonzero(found)))


def miou_fgbg(pred: Prediction, mask: Mask) -> float:
    """Mean of the IoU of the foreground and that of the background, of one image.

    Empty masks: a class that neither has is 1; that one alone has is 0.

    Args:
        pred: ``(H, W)`` bool, or a float map in [0, 1], binarised at ``>= 0.5``.
        mask: ``(H, W)`` bool, the ground truth.

    Returns:
        In [0, 1].

    Raises:
        ValueError: shapes differ, a dtype is ambiguous, or the map has NaN or leaves [0, 1].

    Example:
        >>> import numpy as np
        >>> from bench.metrics import miou_fgbg
        >>> miou_fgbg(np.array([[True, True, False, False]]), np.array([[True, False, False, True]]))
        0.3333333333333333
    """
    found, truth = cleared(pred, mask, None)
    return (iou(found, truth) + iou(~found, ~truth)) / 2


class Overlap(Metric):
    """What the overlap metrics share that are plug-ins."""

    better: Literal["higher", "lower"] = "higher"
    scale, digits = 100.0, 2


class Dice(Overlap):
    """Dice coefficient of the foreground."""

    title, meaning = "mDice", "mean over images of the foreground's Dice coefficient at threshold 0.5"

    def __call__(self, probs: ProbabilityMap, mask: Mask) -> float:
        return dice(probs, mask)


class Precision(Overlap):
    """Share of the pixels found that are foreground."""

    title, meaning = "precision", "mean over images of the share of the pixels found that are foreground"

    def __call__(self, probs: ProbabilityMap, mask: Mask) -> float:
        return precision(probs, mask)


class Recall(Overlap):
    """Share of the foreground that was found."""

    title, meaning = "recall", "mean over images of the share of the foreground that was found"

    def __call__(self, probs: ProbabilityMap, mask: Mask) -> float:
        return recall(probs, mask)


class MiouFgBg(Overlap):
    """Mean of the foreground's and the background's IoU."""

    title, meaning = "mIoU fg+bg", "mean over images of the mean of the foreground's and the background's IoU"

    def __call__(self, probs: ProbabilityMap, mask: Mask) -> float:
        return miou_fgbg(probs, mask)


def _share(common: int, whole: int, other: int) -> float:
    if whole:
        return common / whole
    return 0.0 if other else 1.0
