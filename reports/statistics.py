"""How much a refiner gains over its base, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

CONFIDENCE = 0.95
RESAMPLES = 9_999
FEW = 30
"""With fewer images the bootstrap's intervals are known to be too narrow, and one image may decide: that is said."""

LOSS = 0.01
"""An image counts as lost where its value falls by more than this, one percent point, and as won where it rises so."""

RESOLUTION = 0.001
"""The smallest oracle gain that others are measured by: one step of the gains as they are shown, 0.1 points. Below it
a single image of a hundred that moves by 10 points turns a recovered headroom of none into one of all."""

FEW_IMAGES = 30
"""With fewer the bootstrap's interval is too narrow, and one image can turn the mean: it then means little."""

ROUNDING = 1e-9  # 0.80 - 0.81 is a little below -0.01 in binary; that image lost exactly one point
_VALUES_AT_ONCE = 2_000_000  # 16 MB of float64 for one batch of resamples


@dataclass(frozen=True, slots=True)
class Gain:
    """A paired difference, refined minus base, as a fraction (0.01 is one percent point).

    Attributes:
        mean: mean over the images.
        low, high: ends of the 95 % bootstrap interval of the mean; None for a single image.
        lost: share of the images, 0..1, that lost more than one point.
        images: number of images in the mean.
        wins, losses: number of images that gained, or lost, more than one point; the others are ties.
    """

    mean: float
    low: float | None
    high: float | None
    lost: float
    images: int
    wins: int
    losses: int

    @property
    def ties(self) -> int:
        return self.images - self.wins - self.losses


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
    low, high = interval(differences, seed)
    wins, losses = (int(np.sum(sign * differences > LOSS + ROUNDING)) for sign in (1, -1))
    return Gain(float(differences.mean()), low, high, losses / differences.size, differences.size, wins, losses)


def interval(values: NDArray[np.float64], seed: int = 0) -> tuple[float | None, float | None]:
    """Ends of the 95 % percentile bootstrap interval of a mean over images; None for a single one.

    Args:
        values: ``(N,)``, one an image, none of them NaN.
        seed: of the resampling.
    """
    if values.size < 2:
        return None, None
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    found = bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=max(1, _VALUES_AT_ONCE // values.size),
        vectorized=True,
        method="percentile",
        confidence_level=CONFIDENCE,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def points(fraction: float) -> str:
    """A gain or an end of its interval as shown: percent points with a sign; what rounds to zero has none.

    >>> points(0.0081), points(-0.0004)
    ('+0.8', '0.0')
    """
    text = f"{fraction * 100:+.1f}"
    return "0.0" if float(text) == 0 else text


def recovered(gain: float, oracle: float) -> float | None:
    """The part of an oracle's gain that another refiner reaches on the same images; None below `RESOLUTION`.

    It is negative where the refiner loses, and above 1 where it gains more than the oracle.

    >>> recovered(0.02, 0.08), recovered(0.02, 0.0004)
    (0.25, None)
    """
    return gain / oracle if oracle >= RESOLUTION else None
