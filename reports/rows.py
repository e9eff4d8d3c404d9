"""One row of a table: the cells of one base and one refiner, over all their seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pandas as pd

from bench.metrics.columns import IMAGE_METRICS
from bench.reports.columns import COST, QUALITY, SPREAD, Column, Records, curves, headroom, per_image, plugged_in
from bench.reports.notes import contaminated, contamination, remarks, tuning
from bench.reports.selection import Selected
from bench.reports.statistics import LOSS, RESOLUTION, ROUNDING, Gain, paired_gain, points, recovered
from bench.store import Manifest

GAINS = tuple(column.key for column in QUALITY if column.gain)


@dataclass(frozen=True, slots=True)
class Row:
    """What a table says about one refiner on one base.

    Attributes:
        base, refiner: variant names.
        status: ``done`` where at least one seed has finished, else ``failed``, ``damaged`` (it had finished, and its
            records cannot be read) or ``missing``.
        problem: for the other three, what stands in place of the numbers.
        oracle: the refiner uses the ground truth.
        seeds: those that have finished.
        images: number of images scored.
        values: by column key, as stored: metrics as fractions, seconds, MB, joules; None is undefined or not measured.
        gains: by column key; a key without an entry has no gain to show.
        plugged_in: the columns of the plugged-in metrics that it has been scored by.
        contaminated: image sets that public weights in use had seen and that are tested on, see
            `bench.execution.contamination`.
        notes: what a reader has to know about this row alone.
    """

    base: str
    refiner: str
    status: Literal["done", "failed", "damaged", "missing"]
    problem: str = ""
    oracle: bool = False
    seeds: tuple[int, ...] = ()
    images: int = 0
    values: Mapping[str, float | None] = field(default_factory=dict)
    gains: Mapping[str, Gain] = field(default_factory=dict)
    plugged_in: tuple[Column, ...] = ()
    contaminated: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def unfinished(base: str, refiner: str, cells: Sequence[Selected], *, oracle: bool) -> Row:
    """The row of cells of which none has finished, or of no cell at all."""
    failed = [cell.manifest for cell in cells if cell.manifest.status == "failed"]
    if not failed:
        return Row(base, refiner, "missing", problem="missing", oracle=oracle)
    status: Literal["failed", "damaged"] = "damaged" if all(cell.damaged for cell in cells) else "failed"
    return Row(base, refiner, status, problem=f"{status}: {_first_line(failed[0])}", oracle=oracle)


def finished(base: str, refiner: str, cells: Sequence[Selected], records: Records, *, oracle: bool) -> Row:
    """The row's own numbers; `with_gains` and `with_gaps` add the rest.

    Args:
        base, refiner: variant names.
        cells: all of the row's cells.
        records: of those that have finished, at least one.
        oracle: the refiner uses the ground truth.
    """
    done = [cell.manifest for cell in cells if cell.manifest.status == "done"]
    more = _plugged_in(done)
    manifests = [cell.manifest for cell in cells]
    columns = (*QUALITY, *more, SPREAD, *COST)
    values = {column.key: column.value(records, manifests) for column in columns if column.value is not None}
    images = len(per_image(records, QUALITY[0].key))
    return Row(
        base,
        refiner,
        "done",
        oracle=oracle,
        seeds=tuple(sorted(records)),
        images=images,
        values=values,
        plugged_in=more,
        contaminated=contaminated(done),
        notes=(*contamination(done), *remarks(done), *tuning(done), *_undefined(records, more, images)),
    )


def with_gains(row: Row, refined: Records, baseline: Records, name: str) -> Row:
    """The row with its gains over the baseline, paired by image and by seed.

    Args:
        row: as `finished` made it.
        refined: its records.
        baseline: records of the baseline, of the seeds where the two refine the same maps.
        name: of the baseline.
    """
    seeds = refined.keys() & baseline.keys()
    if not seeds:
        return replace(row, notes=(*row.notes, f"no gains: no finished cell of {name} has its seed, images and maps"))
    gains = {}
    paired = 0
    for metric in GAINS:
        sides = [per_image({seed: side[seed] for seed in seeds}, metric) for side in (refined, baseline)]
        pairs = pd.concat(sides, axis=1, join="inner")
        paired = len(pairs)
        if pairs.notna().all(axis=1).any():
            gains[metric] = paired_gain(pairs.iloc[:, 0].to_numpy(), pairs.iloc[:, 1].to_numpy())
    notes = [*row.notes]
    if paired < row.images:
        notes.append(f"gains are over the {paired} images that {name} has too")
    if len(seeds) < len(row.seeds):
        notes.append(f"gains are over the seeds that {name} has too: {_listed(seeds)}")
    return replace(row, gains=gains, notes=tuple(notes))


def with_headroom(row: Row, refined: Records, baseline: Records, oracles: Mapping[str, Records]) -> Row:
    """The row with the part of each oracle's mIoU gain that it reaches, see `bench.reports.statistics.recovered`.

    Args:
        row: as `finished` made it.
        refined: its records.
        baseline: records of the baseline, of the seeds where the two refine the same maps.
        oracles: records of each oracle, of the seeds where it refines the baseline's maps. One that lacks a seed or an
            image of the row's gain gives no value.
    """
    seeds = refined.keys() & baseline.keys()
    if not seeds:
        return row
    gain = _iou_differences(refined, baseline, seeds)
    found: dict[str, float | None] = {}
    for oracle, records in oracles.items():
        if seeds <= records.keys():
            best = _iou_differences(records, baseline, seeds).reindex(gain.index)
            whole = best.notna().all() and not gain.empty
            found[headroom(oracle).key] = recovered(float(gain.mean()), float(best.mean())) if whole else None
    return replace(row, values={**row.values, **found})


def with_inner(row: Row, refined: Records, inner: Records, baseline: Records, name: str) -> Row:
    """The row with a note on what it makes of the gain in mIoU of a refiner that it was given.

    Args:
        row: as `finished` made it.
        refined: its records.
        inner: records of the other refiner, alone; like the baseline's of the seeds where it refines the same maps.
        baseline: records of the baseline.
        name: of the other refiner.
    """
    seeds = refined.keys() & inner.keys() & baseline.keys()
    if not seeds:
        return row
    own, always = (_iou_differences(records, baseline, seeds) for records in (refined, inner))
    own, always = own.align(always, join="inner")
    lost = [100 * float((gains < -LOSS - ROUNDING).mean()) for gains in (own, always)]
    best = always.clip(lower=0)
    share = f" ({100 * own.mean() / always.mean():.0f} %)" if always.mean() > RESOLUTION else ""
    said = (
        f"of the {points(always.mean())} points that {name} alone gains it has {points(own.mean())}{share}; images "
        f"that lose more than a point: {lost[0]:.0f} %, alone {lost[1]:.0f} %; the right choice every time would gain "
        f"{points(best.mean())}"
    )
    return replace(row, notes=(*row.notes, said))


def with_gaps(row: Row, cells: Sequence[Selected], *, seeds: set[int], images: int) -> Row:
    """The row with notes on what it lacks.

    Args:
        row: of finished cells.
        cells: all of the row's cells, finished or not.
        seeds: those of the other rows.
        images: the most that any other row has.
    """
    notes = [*row.notes]
    if row.images < images:
        notes.append(f"images: {row.images}, where others have {images}")
    failed = {cell.manifest.seed: cell for cell in cells if cell.manifest.status == "failed"}
    for seed, cell in sorted(failed.items()):
        notes.append(f"seed {seed} {'damaged' if cell.damaged else 'failed'}: {_first_line(cell.manifest)}")
    if missing := seeds - failed.keys() - set(row.seeds):
        notes.append(f"seeds {_listed(row.seeds)} only; missing: {_listed(missing)}")
    for newer in (cell.newer for cell in cells if cell.newer is not None):
        why = f"failed: {_first_line(newer)}" if newer.status == "failed" else "has not finished"
        notes.append(f"from an earlier run; a newer one, with other data or parameters, {why}")
    return replace(row, notes=tuple(notes))


def _iou_differences(refined: Records, baseline: Records, seeds: set[int]) -> pd.Series[float]:
    """Refined minus base, by image; of the images that both have."""
    sides = [per_image({seed: side[seed] for seed in seeds}, "iou") for side in (refined, baseline)]
    pairs = pd.concat(sides, axis=1, join="inner")
    return pairs.iloc[:, 0] - pairs.iloc[:, 1]


def _plugged_in(manifests: Sequence[Manifest]) -> tuple[Column, ...]:
    """The metrics that every seed has been scored by, with as many values an image; those that tables show."""
    first, *others = manifests
    shared = {
        label: metric
        for label, metric in first.metrics.items()
        if all(label in other.metrics and other.metrics[label].curve == metric.curve for other in others)
    }
    return tuple(plugged_in(label, metric) for label, metric in shared.items() if metric.summary != "none")


def _undefined(records: Records, more: Sequence[Column], images: int) -> Iterator[str]:
    """What the means leave out."""
    numbers = {metric.key: metric.title for metric in (*IMAGE_METRICS, *(one for one in more if not one.curve))}
    missing = {title: per_image(records, key).isna().to_numpy() for key, title in numbers.items()}
    for column in more:
        if column.curve:
            nowhere = np.isnan(curves(records, column.key, column.curve)[0])
            missing[column.title] = nowhere.all(axis=1)
            if gaps := int((nowhere.any(axis=1) & ~nowhere.all(axis=1)).sum()):
                yield (
                    f"the curve of {column.title} has gaps for {gaps} of {images} images, which the means there leave "
                    "out"
                )
    for title, images_without in missing.items():
        if 0 < (count := int(images_without.sum())) < images:
            yield f"{title} is undefined for {count} of {images} images, which its mean leaves out"


def _first_line(manifest: Manifest) -> str:
    return next(iter(manifest.error.strip().splitlines()), "no reason given")


def _listed(numbers: Sequence[int] | set[int]) -> str:
    return ", ".join(str(number) for number in sorted(numbers))
