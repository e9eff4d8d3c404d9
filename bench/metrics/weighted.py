"""The weighted F-measure, whose errors count by where they lie."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Mask
from bench.metrics.thresholds import EPSILON

REACH = 3
"""Pixels that the Gaussian filter sees to each side."""

MARGIN = REACH + 1
"""Rows or columns to the nearest pixel of the object, at most, from a pixel that the filter sees from the object."""

FARTHEST = 65535
"""Squared distance from which on all are alike: their weights are 2 to 1e-15."""


def weighted_f(pred: NDArray[np.float64], mask: Mask) -> float:
    """Weighted F-measure of Margolin et al., CVPR 2014, with beta^2 = 1.

    An error on the object counts less where those around it are small: they are filtered with a Gaussian of sigma 5,
    7 pixels wide, background pixels having the error of the nearest pixel of the object. An error on the background
    counts ``2 - 0.5^(d / 5)``, d pixels away from the object.

    Args:
        pred: ``(H, W)`` in [0, 1].
        mask: ``(H, W)`` bool, the ground truth.

    Returns:
        In [0, 1]; 0 where the ground truth is empty.
    """
    foreground = int(np.count_nonzero(mask))
    if not foreground:
        return 0.0
    squared = _squared_distances(mask)
    errors = _errors_on_object(pred, mask, squared)
    true = foreground - errors
    false = float(_weights().take(squared).ravel() @ pred.ravel())
    recall, precision = 1 - errors / foreground, true / (true + false + EPSILON)
    return float(2 * recall * precision / (recall + precision + EPSILON))


def _squared_distances(mask: Mask) -> NDArray[np.uint16]:
    """``(H, W)``: of each pixel to the nearest one of the object, at most `FARTHEST`.

    OpenCV's float32 distances are exact enough to give the whole number back: the largest is 256.
    """
    import cv2  # late: the command line reads the table of metrics, and must not wait for it

    # Of a width that is a power of two the pixels of a column share few cache lines: with one more, of background, the
    # transform takes 9 ms in place of 15 at 1024x1024.
    background = cv2.copyMakeBorder((~mask).view(np.uint8), 0, 0, 0, 1, cv2.BORDER_CONSTANT, value=1)
    distances = cv2.distanceTransform(background, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[:, :-1]
    return np.asarray(cv2.multiply(distances, distances, dtype=cv2.CV_16U), np.uint16)


@cache
def _weights() -> NDArray[np.float64]:
    """``(FARTHEST + 1,)``: of an error on the background, by the squared distance; 0 on the object."""
    weights = 2 - 0.5 ** (np.sqrt(np.arange(FARTHEST + 1)) / 5)
    weights[0] = 0
    return weights


def _errors_on_object(pred: NDArray[np.float64], mask: Mask, squared: NDArray[np.uint16]) -> float:
    """The sum over the object of each pixel's error, or of the filtered one where that is less."""
    import cv2

    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    near = slice(max(top - REACH, 0), top + height + REACH), slice(max(left - REACH, 0), left + width + REACH)
    errors = np.pad((1 - pred[near]) * mask[near], MARGIN)
    spread = _spread(errors, np.pad(squared[near], MARGIN, constant_values=FARTHEST))
    kernel = np.exp(-(np.arange(-REACH, REACH + 1) ** 2) / 50)
    kernel /= kernel.sum()
    filtered = cv2.sepFilter2D(spread, cv2.CV_64F, kernel, kernel)
    return float(np.minimum(errors, filtered, out=filtered).sum())


def _spread(errors: NDArray[np.float64], squared: NDArray[np.uint16]) -> NDArray[np.float64]:
    """The errors, with those of the nearest pixel of the object on the background as far as the filter sees.

    Args:
        errors: of the object's pixels, 0 elsewhere.
        squared: distances to the object; `FARTHEST` in the `MARGIN` rows and columns on each side.
    """
    spread, away = errors.copy(), squared.ravel()
    pixels = np.flatnonzero(away - np.uint16(1) < 2 * REACH**2)  # of the object 0 - 1 is the largest number
    distances = away[pixels]
    for distance, offsets in _offsets().items():
        at = pixels[distances == distance]
        nearest = at
        for row, column in offsets:
            other = at + (row * errors.shape[1] + column)
            nearest = np.where(away[other] == 0, other, nearest)
        spread.ravel()[at] = errors.ravel()[nearest]
    return spread


@cache
def _offsets() -> dict[int, list[tuple[int, int]]]:
    """Squared distance -> the rows and columns to all pixels that far off, for all distances in the filter's square.

    Of several nearest pixels scipy's transform, and so the toolbox, takes the one in the first column, and there the
    first row: it is the last one here.
    """
    steps = range(-MARGIN, MARGIN + 1)
    offsets: dict[int, list[tuple[int, int]]] = {}
    for column in reversed(steps):
        for row in reversed(steps):
            if 0 < row**2 + column**2 <= 2 * REACH**2:
                offsets.setdefault(row**2 + column**2, []).append((row, column))
    return offsets
