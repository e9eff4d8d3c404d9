"""How much a refiner gains over its base, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, tee
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from bench.reports import resampling

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

FEW = 100
"""With fewer images the interval of a gain covers less than it says, as most images tie and a few decide: see
docs/statistics.md. Such intervals are marked."""

FEW_MARK = "~"
"""Before an interval of fewer than `FEW` images."""

POWER = 0.8
"""Chance of an interval clear of zero that the smallest visible gain is stated for."""

LOSS = 0.01
"""An image counts as lost where its value falls by more than this, one percent point, and as won where it rises so."""

RESOLUTION = 0.001
"""The smallest oracle gain that others are measured by: one step of the gains as they are shown, 0.1 points. Below it
a single image of a hundred that moves by 10 points turns a recovered headroom of none into one of all."""

_AT_ONCE = 32
"""Intervals that are computed together: 3 MB of resampled means."""

_QUANTILES = sum(map(NormalDist().inv_cdf, (0.5 + resampling.CONFIDENCE / 2, POWER)))

ROUNDING = 1e-9  # 0.80 - 0.81 is a little below -0.01 in binary; that image lost exactly one point


@dataclass(frozen=True, slots=True)
class Gain:
    """A paired difference, refined minus base, as a fraction (0.01 is one percent point).

    Attributes:
        mean: mean over the images, and over the seeds.
        low, high: ends of the 95 % bootstrap interval of the mean; None for a single image, or a single group.
        lost: share of the images, 0..1, that lost more than one point.
        images: number of images in the mean.
        wins, losses: number of images that gained, or lost, more than one point; the others are ties.
        error: standard error of the mean, by the same resamples; None where there is no interval.
        groups: number of groups that were resampled whole; None where images were.
    """

    mean: float
    low: float | None
    high: float | None
    lost: float
    images: int
    wins: int
    losses: int
    error: float | None = None
    groups: int | None = None

    @property
    def ties(self) -> int:
        return self.images - self.wins - self.losses

    @property
    def few(self) -> bool:
        """Whether its interval is marked: of fewer than `FEW` images, or groups where those were resampled."""
        return (self.images if self.groups is None else self.groups) < FEW

    @property
    def visible(self) -> float | None:
        """The smallest gain, as a fraction, that images with such differences would show.

        A true gain of so much has the chance `POWER` of an interval clear of zero: the sum of the two normal quantiles
        times the standard error.
        """
        return None if self.error is None else _QUANTILES * self.error


def paired_gain(
    refined: Floats,
    base: Floats,
    *,
    groups: Numbers | None = None,
    seed: int = 0,
) -> Gain:
    """Mean of the per-image differences with its percentile bootstrap interval.

    Images are resampled, not pixels: the question is how the gain would vary over other sets of images; and seeds
    where there are several, see `bench.reports.resampling`.

    Args:
        refined, base: ``(N,)``, or ``(N, S)`` for S seeds, the same metric of the same images in the same order, as
            fractions. A pair with a NaN (the metric is undefined there), in any seed, is left out.
        groups: ``(N,)``, the number of each image's group, 0 and up, to resample groups whole; None for images.
        seed: of the resampling.

    Raises:
        ValueError: the shapes differ, or no pair is defined.
    """
    if refined.shape != base.shape or refined.ndim not in (1, 2):
        raise ValueError(
            f"expected two arrays (N,) or (N, S) of one shape, got shapes {refined.shape} and {base.shape}"
        )
    return mean_gain(refined - base, groups, seed=seed)


def mean_gain(differences: Floats, groups: Numbers | None = None, *, seed: int = 0) -> Gain:
    """As `paired_gain`, of the differences themselves, ``(N,)`` or ``(N, S)``.

    Raises:
        ValueError: none is defined.
    """
    return next(mean_gains([(differences, groups)], seed=seed))


def mean_gains(sets: Iterable[tuple[Floats, Numbers | None]], *, seed: int = 0) -> Iterator[Gain]:
    """The `mean_gain` of several differences with their groups, one after the other, in less time.

    Raises:
        ValueError: of some none is defined.
    """
    ahead, found = tee(_defined(differences, groups) for differences, groups in sets)
    spread = _spread(resampling.means_of_each((one for one in ahead if _can_vary(*one)), seed=seed), seed)
    for differences, groups in found:
        by_image = differences.mean(axis=1)
        low, high, error = next(spread) if _can_vary(differences, groups) else _fixed(differences, groups)
        wins, losses = (int(np.sum(sign * by_image > LOSS + ROUNDING)) for sign in (1, -1))
        yield Gain(
            mean=float(by_image.mean()),
            low=low,
            high=high,
            lost=losses / len(by_image),
            images=len(by_image),
            wins=wins,
            losses=losses,
            error=error,
            groups=None if groups is None else int(groups.max()) + 1,
        )


def _defined(differences: Floats, groups: Numbers | None) -> tuple[Floats, Numbers | None]:
    """``(N, S)`` without the images that lack a value, and their groups, numbered anew."""
    differences = differences.reshape(len(differences), -1) if differences.size else np.empty((0, 1))
    known = ~np.isnan(differences).any(axis=1)
    if not known.any():
        raise ValueError("no image has a value in both")
    return differences[known], None if groups is None else np.unique(groups[known], return_inverse=True)[1]


def _units(differences: Floats, groups: Numbers | None) -> int:
    return len(differences) if groups is None else int(groups.max()) + 1


def _can_vary(differences: Floats, groups: Numbers | None) -> bool:
    return _units(differences, groups) > 1 and bool(np.ptp(differences) > 0)


def _spread(means: Iterator[Floats], seed: int) -> Iterator[tuple[float, float, float]]:
    """The ends of the 95 % intervals of resampled means, each ``(RESAMPLES, S)``, and their standard errors."""
    while some := [resampling.over_seeds(each, seed=seed) for each in islice(means, _AT_ONCE)]:
        drawn = np.stack(some)
        for ends, error in zip(resampling.intervals(drawn), drawn.std(axis=1), strict=True):
            yield *ends, float(error)


def _fixed(differences: Floats, groups: Numbers | None) -> tuple[float, float, float] | tuple[None, None, None]:
    """The same of what is always drawn alike: None for all where there is but one image or group to draw from."""
    if _units(differences, groups) < 2:
        return None, None, None
    value = float(differences.flat[0])
    return value, value, 0.0


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
