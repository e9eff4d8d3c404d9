"""Agreement near the contour: Boundary IoU and CascadePSP's mean boundary accuracy.

Both have been called mBA. The paper means the first, with d = 15; CascadePSP's tables show the second.
"""

from __future__ import annotations

import math
import operator
from collections import Counter

from bench.contracts import Mask
from bench.metrics.arguments import Prediction, cleared
from bench.metrics.bits import Bits, count, overlap, packed
from bench.metrics.overlap import count_ratio

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
    pair = Bits(*cleared(pred, mask, ignore))
    return bands_iou(pair, band_width(mask.shape, d, ratio))


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
    return contour_accuracy(Bits(*cleared(pred, mask, ignore)), ignore)


def bands_iou(pair: Bits, d: int) -> float:
    """`boundary_iou` of a packed prediction and ground truth, void cleared, with bands ``d`` pixels wide."""
    return count_ratio(*overlap(pair.inner_band(d)))


def contour_accuracy(pair: Bits, ignore: Mask | None) -> float:
    """`boundary_accuracy` of a packed prediction and ground truth, void cleared."""
    found, truth = pair.words
    if count(truth) in (0, math.prod(pair.shape)):
        return math.nan
    wrong = found ^ truth
    radii = Counter(_radii(pair.shape))  # small images repeat a radius: each is computed once
    total = 0.0
    for times, region in zip(radii.values(), pair.around(1, list(radii)), strict=True):
        if ignore is not None:
            region &= ~packed(pair.margin, ignore)[0]
        pixels = count(region)
        if not pixels:
            return math.nan
        total += times * (pixels - count(region & wrong)) / pixels
    return total / radii.total()


def band_width(shape: tuple[int, ...], d: int | None = None, ratio: float | None = None) -> int:
    """The ``d`` of `boundary_iou`, whose other arguments are ``d`` and ``ratio``. Raises ValueError."""
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


def _radii(shape: tuple[int, ...]) -> list[int]:
    largest = sum(shape) / 300
    return [1 + int((largest - 1) / 5 * step) for step in range(5)]
