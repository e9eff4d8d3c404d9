"""The structure-measure, from the counts, means and squares of the eight parts that image and object make."""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Mask
from bench.metrics.thresholds import EPSILON

Values: TypeAlias = NDArray[np.float64]


class Moments(NamedTuple):
    """Of the map's values in some pixels.

    Attributes:
        size: number of pixels.
        mean: 0 without pixels.
        squares: sum of the squared deviations from the mean.
    """

    size: int
    mean: float
    squares: float

    @property
    def deviation(self) -> float:
        """Standard deviation (n - 1); 0 of a single pixel."""
        return math.sqrt(self.squares / max(self.size - 1, 1))


def s_measure(pred: Values, mask: Mask) -> float:
    """Structure-measure of Fan et al., ICCV 2017, with alpha = 0.5.

    Half of it is the likeness of the object, of mean and deviation inside and outside of it; half that of the regions,
    the four quarters that meet behind the centre of the object. A quarter without pixels weighs nothing.

    Args:
        pred: ``(H, W)`` in [0, 1].
        mask: ``(H, W)`` bool, the ground truth; all of one class is 1 less the error of the map.

    Returns:
        In [0, 1].
    """
    foreground = int(np.count_nonzero(mask))
    if foreground in (0, mask.size):
        return float(pred.mean() if foreground else 1 - pred.mean())
    row, column = _behind_centre(mask, foreground)
    inside, outside, regions = [], [], 0.0
    for rows in slice(row), slice(row, None):
        for columns in slice(column), slice(column, None):
            part, truth = pred[rows, columns], mask[rows, columns]
            object_part, other = _moments(part[truth]), _moments(part[~truth])
            inside.append(object_part)
            outside.append(other)
            if object_part.size and other.size:
                regions += part.size * _likeness(object_part, other)
            elif part.size:
                # To the last bit as the toolbox, which compares a constant part with the mean that numpy computes.
                regions += part.size * float((part == part.mean()).all())
    share = foreground / mask.size
    whole, rest = _together(inside), _together(outside)
    objects = share * _object_score(whole.mean, whole) + (1 - share) * _object_score(1 - rest.mean, rest)
    return max(0.0, 0.5 * objects + 0.5 * regions / mask.size)


def _behind_centre(mask: Mask, foreground: int) -> tuple[int, int]:
    """Row and column behind the centre of the object, which is rounded, a half to the even number."""
    import cv2  # late: the command line reads the table of metrics, and must not wait for it

    def centre(axis: int) -> float:
        counts = cv2.reduce(mask.view(np.uint8), 1 - axis, cv2.REDUCE_SUM, dtype=cv2.CV_32S).ravel()
        return int(counts.astype(np.int64) @ np.arange(mask.shape[axis])) / foreground

    return round(centre(0)) + 1, round(centre(1)) + 1


def _moments(values: Values) -> Moments:
    """Changes them."""
    if not values.size:
        return Moments(0, 0.0, 0.0)
    mean = float(values.sum()) / values.size
    values -= mean
    return Moments(values.size, mean, float(values @ values))


def _together(parts: list[Moments]) -> Moments:
    size = sum(part.size for part in parts)
    mean = sum(part.size * part.mean for part in parts) / size
    return Moments(size, mean, sum(part.squares + part.size * (part.mean - mean) ** 2 for part in parts))


def _object_score(mean: float, values: Moments) -> float:
    """How near to 1, and alike, values of this mean are."""
    return 2 * mean / (mean**2 + 1 + values.deviation + EPSILON)


def _likeness(inside: Moments, outside: Moments) -> float:
    """Structural similarity of a region's map to its ground truth, which has both classes."""
    values = _together([inside, outside])
    true = inside.size / values.size
    degrees = values.size - 1 + EPSILON
    variance, of_truth = values.squares / degrees, inside.size * (1 - true) / degrees
    covariance = inside.size * (1 - true) * (inside.mean - outside.mean) / degrees
    return 4 * values.mean * true * covariance / ((values.mean**2 + true**2) * (variance + of_truth) + EPSILON)
