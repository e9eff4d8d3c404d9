"""Metrics that are curves: a vector for each image, which is averaged over the images before it becomes a number."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.contracts import Summary


def mean_curve(curves: ArrayLike) -> NDArray[np.float64]:
    """The mean over the images at each position, NaN left out.

    Args:
        curves: ``(N, L)``, one an image; NaN is undefined.

    Returns:
        ``(L,)``; NaN where no image has a value.

    Example:
        >>> from bench.metrics.curves import mean_curve
        >>> mean_curve([[1.0, 0.5, float("nan")], [0.0, float("nan"), float("nan")]]).tolist()
        [0.5, 0.5, nan]
    """
    found = np.ma.masked_invalid(np.asarray(curves, dtype=np.float64))
    return np.asarray(found.mean(axis=0).filled(math.nan), dtype=np.float64)


def summarised(curve: ArrayLike, summary: Summary) -> float:
    """What a table shows of a curve: the largest or the mean over its positions, NaN left out.

    A data set's number is that of the `mean_curve`: of max-F it is not the mean of the images' own largest values.

    Args:
        curve: ``(L,)``; NaN is undefined.
        summary: ``none`` has no number.

    Returns:
        NaN where there is none.

    Example:
        >>> from bench.metrics.curves import summarised
        >>> summarised([0.25, 0.75, float("nan")], "max"), summarised([0.25, 0.75, float("nan")], "mean")
        (0.75, 0.5)
    """
    values = np.asarray(curve, dtype=np.float64)
    defined = values[~np.isnan(values)]
    if not defined.size or summary == "none":
        return math.nan
    return float(defined.max() if summary == "max" else defined.mean())
