"""Images and seeds drawn anew: how a number would vary over other images of the same kind, and over other seeds.

The bootstrap (Efron 1979) of images; of whole groups where images belong together (video, patient, tile), as the
images of one group say less than as many from everywhere; and with several seeds in two stages, the seeds drawn beside
the images (Owen 2007, the pigeonhole bootstrap), as another run would have other ones. One seed of the drawing gives
the same draws for the same number of images: differences between the rows of a table see the same images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 9_999
_AT_ONCE = 4_000_000  # counts in one batch: 32 MB of float64
_TOGETHER = 128  # columns that are drawn together: 10 MB of their means
_KEPT = 20_000_000  # counts of one set of draws that is kept for the next rows, a byte each: 2,000 images

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
    return next(means_of_each([(values, groups)], seed=seed))


def means_of_each(sets: Iterable[tuple[Floats, NDArray[np.int64] | None]], *, seed: int = 0) -> Iterator[Floats]:
    """The `means` of several values and groups, one after the other.

    Neighbours of as many images, or of groups of one size, are computed together: each is drawn the same way whatever
    stands beside it, and one multiplication of matrices is many times as fast as several of few columns.
    """
    waiting: list[_Sums] = []
    for values, groups in sets:
        found = _Sums.of(values, groups)
        if waiting and not found.goes_with(waiting):
            yield from _means(waiting, seed)
            waiting = []
        waiting.append(found)
    if waiting:
        yield from _means(waiting, seed)


@dataclass(frozen=True)
class _Sums:
    """What is drawn: ``sums`` ``(units, K)`` and ``sizes`` ``(units,)`` of single images or groups."""

    sums: Floats
    sizes: Floats
    shape: tuple[int, ...]

    @classmethod
    def of(cls, values: Floats, groups: NDArray[np.int64] | None) -> _Sums:
        shape, flat = values.shape[1:], values.reshape(len(values), -1)
        if groups is None:
            return cls(flat, np.ones(len(flat)), shape)
        count = int(groups.max()) + 1
        sums = np.stack([np.bincount(groups, column, minlength=count) for column in flat.T], axis=1).astype(np.float64)
        return cls(sums, np.bincount(groups, minlength=count).astype(np.float64), shape)

    def goes_with(self, others: Sequence[_Sums]) -> bool:
        columns = sum(other.sums.shape[1] for other in others)
        return columns + self.sums.shape[1] <= _TOGETHER and np.array_equal(self.sizes, others[0].sizes)


def _means(sets: Sequence[_Sums], seed: int) -> Iterator[Floats]:
    table = np.column_stack([*(each.sums for each in sets), sets[0].sizes])
    drawn = np.concatenate([counts.astype(np.float64) @ table for counts in _counts(len(table), seed)])
    found = drawn[:, :-1] / drawn[:, -1:]
    start = 0
    for each in sets:
        end = start + each.sums.shape[1]
        yield np.ascontiguousarray(found[:, start:end]).reshape(RESAMPLES, *each.shape)
        start = end


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
    return np.asarray(np.einsum("rs...,rs->r...", values, seed_weights(seeds, seed=seed)))


@lru_cache(maxsize=4)
def seed_weights(seeds: int, *, seed: int = 0) -> Floats:
    """``(RESAMPLES, S)``: what each of S seeds, or of whatever else, counts in the mean over resampled ones."""
    # A stream of its own: the images drawn stay those of one seed.
    rng = np.random.default_rng([seed, seeds])
    return np.asarray(rng.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES) / seeds)


def interval(drawn: Floats) -> tuple[float, float]:
    """The 95 % percentile interval of ``(RESAMPLES,)`` values."""
    return intervals(drawn[None])[0]


def intervals(drawn: Floats) -> list[tuple[float, float]]:
    """As `interval`, of each of ``(N, RESAMPLES)``."""
    ends = np.percentile(drawn, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)], axis=1)
    return [(float(low), float(high)) for low, high in ends.T]


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
    kept = np.empty((RESAMPLES, units), np.uint8)
    for start, counts in zip(range(0, RESAMPLES, _batch(units)), _drawn(units, seed), strict=True):
        kept[start : start + len(counts)] = counts
    return kept


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
