"""Agreement near the contour: Boundary IoU and CascadePSP's mean boundary accuracy.

Both have been called mBA. The paper means the first, with d = 15; CascadePSP's tables show the second.
"""

from __future__ import annotations

import math
import operator
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Mask
from bench.metrics.arguments import Prediction, cleared
from bench.metrics.overlap import count_ratio, counts

BAND_WIDTH = 15
"""The paper's d, in pixels."""

DIAGONAL_RATIO = 0.02
"""d as a share of the image diagonal, the default of Boundary IoU's authors."""


def boundary_iou(
    pred: Prediction, mask: Mask, *, d: int | None = None, ratio: float | None = None, ignore: Mask | None = None
) -> float:
    """IoU of the two inner bands: the foreground pixels within ``d`` of a contour.

    Boundary IoU of Cheng et al., CVPR 2021; the paper reports it as mBA with d = 15. A foreground pixel is in the
    band where a background pixel lies at most ``d`` rows and ``d`` columns away. All outside the image is
    background, so an object cut by the image border has a contour there.

    Empty masks: both bands empty, which is both masks empty, is 1; one empty is 0.

    Args:
        pred: ``(H, W)`` bool, or a float map in [0, 1], binarised at ``>= 0.5``.
        mask: ``(H, W)`` bool, the ground truth.
        ignore: ``(H, W)`` bool, void pixels, which count for nothing, see `bench.metrics.arguments.cleared`; None for
            none.
        d: width of the band in pixels, at least 1; 15 where neither it nor ``ratio`` is given.
        ratio: instead of ``d``, its share of the diagonal: ``d = max(1, round(ratio * sqrt(H^2 + W^2)))``.

    Returns:
        IoU of the bands, in [0, 1].

    Raises:
        ValueError: both ``d`` and ``ratio`` are given, or one is out of range; shapes differ, a dtype is
            ambiguous, or the map has NaN or leaves [0, 1].

    Example:
        Losing the middle of an object costs IoU, but nothing within one pixel of its contour.

        >>> import numpy as np
        >>> from bench.metrics import boundary_iou, iou
        >>> mask = np.ones((5, 5), dtype=bool)
        >>> ring = mask.copy()
        >>> ring[1:4, 1:4] = False
        >>> iou(ring, mask)
        0.64
        >>> boundary_iou(ring, mask, d=1)
        1.0
        >>> boundary_iou(ring, mask)  # 15 pixels: the band is all of the mask
        0.64
        >>> boundary_iou(np.zeros((5, 5), dtype=bool), mask, ratio=0.02)
        0.0
        >>> boundary_iou(np.zeros((5, 5), dtype=bool), np.zeros((5, 5), dtype=bool))
        1.0
    """
    found, truth = cleared(pred, mask, ignore)
    width = _band_width(mask.shape, d, ratio)
    return count_ratio(*counts(_inner_band(found, width), _inner_band(truth, width)))


def boundary_accuracy(pred: Prediction, mask: Mask, *, ignore: Mask | None = None) -> float:
    """CascadePSP's mBA: the share of pixels classified right near the true contour, mean of five radii.

    Cheng et al., CVPR 2020. The radii run from 1 to about ``(H + W) / 300`` pixels; a region is all within a radius of
    the contour on both sides of it, cut from the ground truth with an elliptic kernel. The image border is no contour
    here. Guessing gives about 0.5.

    Empty masks: NaN where the ground truth has no contour, which is all background or all foreground, or where all of
    it lies in void; leave those images out of a mean and count them. An empty prediction is scored like any other.

    Args:
        pred: ``(H, W)`` bool, or a float map in [0, 1], binarised at ``>= 0.5``.
        mask: ``(H, W)`` bool, the ground truth.
        ignore: ``(H, W)`` bool, void pixels, which count for nothing, see `bench.metrics.arguments.cleared`; None for
            none.

    Returns:
        Mean accuracy in [0, 1], or NaN.

    Raises:
        ValueError: shapes differ, a dtype is ambiguous, or the map has NaN or leaves [0, 1].

    Example:
        Two pixels touch the contour; the prediction gets one of them.

        >>> import numpy as np
        >>> from bench.metrics import boundary_accuracy
        >>> mask = np.array([[True, True, False, False]])
        >>> boundary_accuracy(np.array([[True, True, True, False]]), mask)
        0.5
        >>> boundary_accuracy(mask, np.ones((1, 4), dtype=bool))
        nan
    """
    found, truth = cleared(pred, mask, ignore)
    right = found == truth
    if truth.all() or not truth.any():
        return math.nan
    radii = Counter(_radii(mask.shape))  # small images repeat a radius: each is computed once
    total = 0.0
    for radius, times in radii.items():
        region = _contour_region(truth, radius)
        if ignore is not None:
            region &= ~ignore
            if not region.any():
                return math.nan
        total += times * int(np.count_nonzero(right & region)) / int(np.count_nonzero(region))
    return total / radii.total()


def _band_width(shape: tuple[int, ...], d: int | None, ratio: float | None) -> int:
    if d is not None and ratio is not None:
        raise ValueError(f"expected d or ratio, got both: d={d!r}, ratio={ratio!r}")
    if ratio is not None:
        if not 0 < ratio < math.inf:
            raise ValueError(f"expected ratio to be a positive share of the diagonal, got {ratio!r}")
        return max(1, round(ratio * math.sqrt(sum(side * side for side in shape))))
    try:
        width = BAND_WIDTH if d is None else operator.index(d)
    except TypeError:
        raise ValueError(f"expected d to be a whole number of pixels, got {d!r}") from None
    if width < 1:
        raise ValueError(f"expected d to be at least 1 pixel, got {d!r}")
    return width


def _inner_band(mask: Mask, d: int) -> Mask:
    # The definition erodes d times with a 3x3 square inside a frame of zeros. A square of side 2d+1 is the Minkowski
    # sum of d such squares, so one erosion with it is the same; the constant zero border stands for the frame, since
    # zeros further out could only be reached through it. OpenCV splits an all-ones kernel into a row and a column
    # pass: about 1 ms at 1024x1024, so cropping to the object would not pay.
    import cv2  # late: the command line reads the table of metrics, and must not wait for it

    side = 2 * min(d, *mask.shape) + 1  # wider than the image is no different, and the kernel stays small
    core = cv2.erode(_bytes(mask), np.ones((side, side), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return mask & (core == 0)


def _radii(shape: tuple[int, ...]) -> list[int]:
    largest = sum(shape) / 300
    return [1 + int((largest - 1) / 5 * step) for step in range(5)]


def _contour_region(mask: Mask, radius: int) -> Mask:
    import cv2

    # OpenCV's default border leaves outside pixels out of the minimum and the maximum: no contour arises there.
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.morphologyEx(_bytes(mask), cv2.MORPH_GRADIENT, kernel) > 0)


def _bytes(mask: Mask) -> NDArray[np.uint8]:
    return np.ascontiguousarray(mask).view(np.uint8)
