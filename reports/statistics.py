"""How much a refiner gains over its base, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

CONFIDENCE = 0.95
RESAMPLES = 9_999
LOSS = 0.01
"""An image counts as lost where its value falls by more than this: one percent point."""

_ROUNDING = 1e-9  # 0.80 - 0.81 is a little below -0.01 in binary; that image lost exactly one point
_VALUES_AT_ONCE = 2_000_000  # 16 MB of float64 for one batch of resamples


@dataclass(frozen=True, slots=True)
class Gain:
    """A paired difference, refined minus base, as a fraction (0.01 is one percent point).

    Attributes:
        mean: mean over the images.
        low, high: ends of the 95 % bootstrap interval of the mean; None for a single image.
        lost: share of the images, 0..1, that lost more than one point.
        images: number of images in the mean.
    """

    mean: float
    low: float | None
    high: float | None
    lost: float
    images: int


def paired_gain(refined: NDArray[np.float64], base: NDArray[np.float64], *, seed: int = 0) -> Gain:
    """Mean of the per-image differences with its percentile bootstrap interval.

    Images are resampled, not pixels: the question is how the gain would vary over other sets of images.

    Args:
        refined, base: ``(N,)``, the same metric of the same images in the same order, as fractions. A pair
            with a NaN (the metric is undefined there) is left out.
        seed: of the resampling.

    Raises:
        ValueError: the shapes differ, or no pair is defined.
    """
    if refined.shape != base.shape or refined.ndim != 1:
        raise ValueError(f"expected two vectors of one length, got shapes {refined.shape} and {base.shape}")
    differences = refined - base
    differences = differences[~np.isnan(differences)]
    if differences.size == 0:
        raise ValueError("no image has a value in both")
    low, high = _interval(differences, seed)
    lost = float(np.mean(differences < -LOSS - _ROUNDING))
    return Gain(float(differences.mean()), low, high, lost, differences.size)


def _interval(differences: NDArray[np.float64], seed: int) -> tuple[float | None, float | None]:
    if differences.size < 2:
        return None, None
    if np.ptp(differences) == 0:
        return float(differences[0]), float(differences[0])
    interval = bootstrap(
        (differences,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=max(1, _VALUES_AT_ONCE // differences.size),
        vectorized=True,
        method="percentile",
        confidence_level=CONFIDENCE,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)
