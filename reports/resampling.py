"""Images and seeds drawn anew: how a number would vary over other images of the same kind, and over other seeds.

The bootstrap (Efron 1979) of images; of whole groups where images belong together (video, patient, tile), as the
images of one group say less than as many from everywhere; and with several seeds in two stages, the seeds drawn beside
the images (Owen 2007, the pigeonhole bootstrap), as another run would have other ones. One seed of the drawing gives
the same draws for the same number of images: differences between the rows of a table see the same images.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 9_999
_AT_ONCE = 4_000_000  # counts in one batch: 32 MB of float64
_KEPT = 250_000_000  # counts of one set of draws that is kept for the next row, a byte each: 25,000 images

Floats = NDArray[np.float64]


def means(values: Floats, groups: NDArray[np.int64] | None = None, *, seed: int = 0) -> Floats:
    """Means over resampled images.

    Args:
        values: ``(N, ...)``, one entry an image, no NaN.
        groups: ``(N,)``, the number of each image's group, 0 and up; None where each image stands for itself.
        seed: of the drawing.

    Returns:
        ``(RESAMPLES, ...)``.
    """
    shape, flat = values.shape[1:], values.reshape(len(values), -1)
    if groups is None:
        sums, sizes = flat, np.ones((len(flat), 1))
    else:
        count = int(groups.max()) + 1
        sums = np.stack([np.bincount(groups, column, minlength=count) for column in flat.T], axis=1)
        sizes = np.bincount(groups, minlength=count).astype(np.float64)[:, None]
    table = np.concatenate([sums, sizes], axis=1)
    drawn = np.concatenate([counts.astype(np.float64) @ table for counts in _counts(len(table), seed)])
    return np.asarray(drawn[:, :-1] / drawn[:, -1:]).reshape(RESAMPLES, *shape)


def over_seeds(values: Floats, *, seed: int = 0) -> Floats:
    """Means over resampled seeds: the second stage.

    Args:
        values: ``(RESAMPLES, S, ...)``, one entry a seed, or whatever else is drawn beside the images.

    Returns:
        ``(RESAMPLES, ...)``.
    """
    seeds = values.shape[1]
    if seeds == 1:
        return values[:, 0]
    # A stream of its own: the images drawn stay those of one seed.
    weights = np.random.default_rng([seed, seeds]).multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds
    return np.asarray(np.einsum("rs...,rs->r...", values, weights))


def interval(drawn: Floats) -> tuple[float, float]:
    """The 95 % percentile interval of ``(RESAMPLES,)`` values."""
    low, high = np.percentile(drawn, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])
    return float(low), float(high)


def _counts(units: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """How often each unit is drawn, in batches of resamples ``(B, units)``."""
    if units * RESAMPLES > _KEPT:
        yield from _drawn(units, seed)
        return
    kept = _kept(units, seed)
    for start in range(0, RESAMPLES, _batch(units)):
        yield kept[start : start + _batch(units)]


@lru_cache(maxsize=3)  # the images of a row, and those of two strata
def _kept(units: int, seed: int) -> NDArray[np.uint8]:
    return np.concatenate(list(_drawn(units, seed)))


def _drawn(units: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    for start in range(0, RESAMPLES, _batch(units)):
        size = min(_batch(units), RESAMPLES - start)
        picks = rng.integers(0, units, (size, units))
        places = picks + units * np.arange(size)[:, None]
        counts = np.bincount(places.ravel(), minlength=size * units)
        # One of thousands of units is not drawn 256 times in any history; of fewer it cannot be.
        yield counts.reshape(size, units).astype(np.uint8)


def _batch(units: int) -> int:
    return max(1, _AT_ONCE // units)
