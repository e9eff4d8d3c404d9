"""Two rows side by side, image by image: gains over the base, what is left to an oracle, which of two is better."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import tee

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.reports import resampling
from bench.reports.columns import QUALITY, Column, headroom, parts_of
from bench.reports.rows import Row
from bench.reports.scores import shared_images
from bench.reports.statistics import (
    LOSS,
    RESOLUTION,
    ROUNDING,
    Floats,
    Gain,
    Numbers,
    mean_gains,
    points,
    recovered,
)

GAINS = tuple(column for column in QUALITY if column.gain)
"""The columns that a gain stands beside."""

_AT_ONCE = 64
"""Rows whose differences are in memory together."""


@dataclass(frozen=True)
class Aligned:
    """The same images of several rows.

    Attributes:
        values: ``(N, S, R, K)`` for R rows and K columns of the records: the images and seeds that all rows have, on
            the same maps. Of a curve each position is a column. An image with a NaN anywhere is not among them.
        images: ``(N,)``, their ids.
        shared: number of images that all rows have.
        seeds: S of them.
    """

    values: NDArray[np.float64]
    images: pd.Index[str]
    shared: int
    seeds: tuple[int, ...]


def aligned(rows: Sequence[Row], columns: Sequence[str]) -> Aligned | None:
    """The rows by the given columns of the records; None where no seed, or no image, is in all of them.

    None, too, where two versions of a metric made curves of different lengths.
    """
    first, *others = rows
    seeds = tuple(
        sorted(seed for seed, maps in first.maps.items() if all(other.maps.get(seed) == maps for other in others))
    )
    if not seeds:
        return None
    cells = [row.records[seed] for seed in seeds for row in rows]
    images = shared_images(cells)
    parts = [parts_of(cell, columns, images) for cell in cells]
    if len({part.shape for part in parts}) > 1:
        return None
    values = np.stack(parts, axis=1)
    shared, known = len(images), np.asarray(~np.isnan(values).any(axis=(1, 2)))
    if not known.any():
        return None
    if not known.all():
        values, images = values[known], images[np.flatnonzero(known)]
    return Aligned(values.reshape(len(values), len(seeds), len(rows), -1), images, shared, seeds)


def numbered(images: pd.Index[str], groups: Mapping[str, str] | None) -> NDArray[np.int64] | None:
    """``(N,)``, the number of each image's group, 0 and up; an image without one is a group of its own."""
    if groups is None:
        return None
    # Marked, as a group and an image may be called alike.
    named = [f"group {groups[image]}" if image in groups else f"image {image}" for image in images]
    return pd.factorize(pd.Series(named))[0].astype(np.int64)


def with_gains(rows: Sequence[Row], baseline: Row, groups: Mapping[str, str] | None = None) -> list[Row]:
    """The rows with their gains over the baseline, paired by image and by seed.

    Args:
        rows: as `bench.reports.rows.finished` made them.
        baseline: the base's own row.
        groups: image id -> the group that is resampled whole; None to resample images.
    """
    found = []
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        pairs = [[aligned((row, baseline), (column.key,)) for row in some] for column in GAINS]
        every = (pair for of_column in pairs for pair in of_column if pair is not None)
        gains = mean_gains(
            (pair.values[:, :, 0, 0] - pair.values[:, :, 1, 0], numbered(pair.images, groups)) for pair in every
        )
        of_rows: list[dict[str, Gain]] = [{} for _ in some]
        for column, of_column in zip(GAINS, pairs, strict=True):
            for own, pair in zip(of_rows, of_column, strict=True):
                if pair is not None:
                    own[column.key] = next(gains)
        for row, first, own in zip(some, pairs[0], of_rows, strict=True):
            found.append(_with_gains(row, baseline.refiner, first, own))
    return found


def _with_gains(row: Row, baseline: str, first: Aligned | None, gains: Mapping[str, Gain]) -> Row:
    if first is None:
        return replace(
            row, notes=(*row.notes, f"no gains: no finished cell of {baseline} has its seed, images and maps")
        )
    notes = [*row.notes]
    if first.shared < row.images:
        notes.append(f"gains are over the {first.shared} images that {baseline} has too")
    if len(first.seeds) < len(row.seeds):
        notes.append(f"gains are over the seeds that {baseline} has too: {', '.join(map(str, first.seeds))}")
    return replace(row, gains=gains, notes=tuple(notes))


def with_headroom(row: Row, baseline: Row, oracles: Mapping[str, pd.DataFrame]) -> Row:
    """The row with the part of each oracle's mIoU gain that it reaches, see `bench.reports.statistics.recovered`.

    Args:
        row: as `bench.reports.rows.finished` made it.
        baseline: the base's own row.
        oracles: by name their `differences` to the baseline. One that lacks a seed or an image of the row's gain gives
            no value.
    """
    if not oracles or (gain := differences(row, baseline)).empty:
        return row
    found: dict[str, float | None] = {}
    for oracle, best in oracles.items():
        if set(gain.columns) <= set(best.columns):
            best = best[gain.columns].reindex(gain.index)
            whole = bool(best.notna().all(axis=None))
            share = recovered(gain.to_numpy().mean(), best.to_numpy().mean()) if whole else None
            found[headroom(oracle).key] = share
    return replace(row, values={**row.values, **found})


def with_inner(row: Row, inner: Row, baseline: Row) -> Row:
    """The row with a note on what it makes of the gain in mIoU of a refiner that it was given.

    Args:
        row: as `bench.reports.rows.finished` made it.
        inner: that of the other refiner, alone.
        baseline: the base's own row.
    """
    both = differences(row, baseline).align(differences(inner, baseline), join="inner")
    if both[0].empty:
        return row
    own, always = (gains.to_numpy().mean(axis=1) for gains in both)
    lost = [100 * float((gains < -LOSS - ROUNDING).mean()) for gains in (own, always)]
    best = np.maximum(always, 0)
    share = f" ({100 * own.mean() / always.mean():.0f} %)" if always.mean() > RESOLUTION else ""
    said = (
        f"of the {points(always.mean())} points that {inner.refiner} alone gains it has {points(own.mean())}{share}; "
        f"images that lose more than a point: {lost[0]:.0f} %, alone {lost[1]:.0f} %; the right choice every time "
        f"would gain {points(best.mean())}"
    )
    return replace(row, notes=(*row.notes, said))


def differences(row: Row, other: Row, metric: str = "iou") -> pd.DataFrame:
    """Row minus other, one line an image and one column a seed; empty where they share none."""
    pair = aligned((row, other), (metric,))
    if pair is None:
        return pd.DataFrame()
    return pd.DataFrame(pair.values[:, :, 0, 0] - pair.values[:, :, 1, 0], pair.images, pair.seeds)


def resampled(
    rows: Sequence[Row], column: Column, groups: Mapping[str, str] | None = None, *, seed: int = 0
) -> NDArray[np.float64]:
    """The values of rows of one base by a column that is computed of images, over resampled images and seeds.

    Args:
        column: with ``parts``.
        groups: as `with_gains`.
        seed: of the drawing.

    Returns:
        ``(RESAMPLES, R)``; ``(0, R)`` where the rows share less than two images, or groups.
    """
    found = _to_draw(rows, column, groups)
    if found is None:
        return np.empty((0, len(rows)))
    return resampling.over_seeds(column.combine(resampling.means(*found, seed=seed)), seed=seed)


def told_apart(
    one: Row, others: Iterable[Row], column: Column, groups: Mapping[str, str] | None = None
) -> Iterator[bool]:
    """Of each other row, whether the 95 % interval of their paired difference excludes zero, as it is shown.

    Where a column is not computed of images, such as seconds, whether the shown values differ.
    """
    if not column.parts:
        own = column.text(one.values.get(column.key))
        yield from (own != column.text(other.values.get(column.key)) for other in others)
        return
    ahead, found = tee(_to_draw((one, other), column, groups) for other in others)
    drawn = resampling.means_of_each(each for each in ahead if each is not None)
    for each in found:
        if each is None:
            yield False
            continue
        means = resampling.over_seeds(column.combine(next(drawn)))
        ends = resampling.interval(means[:, 0] - means[:, 1])
        low, high = (round(end * column.scale, column.digits) for end in ends)
        yield low > 0 or high < 0


def told_apart_from_all(
    one: Row, others: Sequence[Row], column: Column, groups: Mapping[str, str] | None = None
) -> bool:
    """Whether it is `told_apart` from each of them; the first ones alone decide it mostly, and are looked at first."""
    start, some = 0, 1
    while start < len(others):
        if not all(told_apart(one, others[start : start + some], column, groups)):
            return False
        start, some = start + some, 4 * some
    return True


def _to_draw(
    rows: Sequence[Row], column: Column, groups: Mapping[str, str] | None
) -> tuple[Floats, Numbers | None] | None:
    """What the rows share, and the groups to resample; None where they share less than two images, or groups."""
    found = aligned(rows, column.parts)
    if found is None:
        return None
    numbers = numbered(found.images, groups)
    return None if len(found.images if numbers is None else np.unique(numbers)) < 2 else (found.values, numbers)
