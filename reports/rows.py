"""One row of a table: the cells of one base and one refiner, over all their seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import pandas as pd

from bench.store import Manifest
from reports.cells import Cell
from reports.columns import QUALITY, SPREAD, Column, headroom, plugged_in
from reports.notes import contaminated, contamination, tuning
from reports.statistics import Gain, paired_gain, recovered

IMAGE_METRICS = tuple(column.key for column in QUALITY if column.key != "iou_dataset")
GAINS = tuple(column.key for column in QUALITY if column.gain)

Records = Mapping[int, pd.DataFrame]
"""Finished cells' records by seed, indexed by image id."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a table says about one refiner on one base.

    Attributes:
        base, refiner: variant names.
        status: ``done`` where at least one seed has finished, else ``failed`` or ``missing``.
        problem: for the other two, what stands in place of the numbers.
        oracle: the refiner uses the ground truth.
        seeds: those that have finished.
        images: number of images scored.
        values: by column key, as stored: metrics as fractions, seconds, MB, joules; None is undefined or not measured.
        gains: by column key; a key without an entry has no gain to show.
        plugged_in: the columns of the plugged-in metrics that it has been scored by.
        contaminated: image sets that public weights in use had seen and that are tested on, see `bench.ledger`.
        notes: what a reader has to know about this row alone.
    """

    base: str
    refiner: str
    status: Literal["done", "failed", "missing"]
    problem: str = ""
    oracle: bool = False
    seeds: tuple[int, ...] = ()
    images: int = 0
    values: Mapping[str, float | None] = field(default_factory=dict)
    gains: Mapping[str, Gain] = field(default_factory=dict)
    plugged_in: tuple[Column, ...] = ()
    contaminated: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def unfinished(base: str, refiner: str, cells: Sequence[Cell], *, oracle: bool) -> Row:
    """The row of cells of which none has finished, or of no cell at all."""
    failed = [cell.manifest for cell in cells if cell.manifest.status == "failed"]
    if not failed:
        return Row(base, refiner, "missing", problem="missing", oracle=oracle)
    return Row(base, refiner, "failed", problem=f"failed: {_first_line(failed[0])}", oracle=oracle)


def finished(base: str, refiner: str, cells: Sequence[Cell], records: Records, *, oracle: bool) -> Row:
    """The row's own numbers; `with_gains` and `with_gaps` add the rest.

    Args:
        base, refiner: variant names.
        cells: all of the row's cells.
        records: of those that have finished, at least one.
        oracle: the refiner uses the ground truth.
    """
    done = [cell.manifest for cell in cells if cell.manifest.status == "done"]
    more = _plugged_in(done)
    columns = [*(column for column in QUALITY if column.key in IMAGE_METRICS), *more]
    by_metric = {column.key: _per_image(records, column.key) for column in columns}
    images = len(by_metric[IMAGE_METRICS[0]])
    values = {metric: _number(series.mean()) for metric, series in by_metric.items()}
    values |= {"iou_dataset": _dataset_iou(records), SPREAD.key: _spread(records)} | _costs(records)
    fits = [seconds for cell in cells if (seconds := cell.manifest.fit_seconds) is not None]
    values["fit_seconds"] = sum(fits) / len(fits) if fits else None
    undefined = (
        f"{column.title} is undefined for {missing} of {images} images, which its mean leaves out"
        for column in columns
        if 0 < (missing := int(by_metric[column.key].isna().sum())) < images
    )
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
        notes=(*contamination(done), *tuning(done), *undefined),
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
        sides = [_per_image({seed: side[seed] for seed in seeds}, metric) for side in (refined, baseline)]
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
    """The row with the part of each oracle's mIoU gain that it reaches, see `reports.statistics.recovered`.

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


def with_gaps(row: Row, cells: Sequence[Cell], *, seeds: set[int], images: int) -> Row:
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
    failed = {cell.manifest.seed: cell.manifest for cell in cells if cell.manifest.status == "failed"}
    notes += [f"seed {seed} failed: {_first_line(manifest)}" for seed, manifest in sorted(failed.items())]
    if missing := seeds - failed.keys() - set(row.seeds):
        notes.append(f"seeds {_listed(row.seeds)} only; missing: {_listed(missing)}")
    for newer in (cell.newer for cell in cells if cell.newer is not None):
        why = f"failed: {_first_line(newer)}" if newer.status == "failed" else "has not finished"
        notes.append(f"from an earlier run; a newer one, with other data or parameters, {why}")
    return replace(row, notes=tuple(notes))


def _per_image(records: Records, metric: str) -> pd.Series[float]:
    """One value an image, averaged over seeds; NaN where any seed has none; only images that every seed has."""
    return pd.concat([frame[metric] for frame in records.values()], axis=1, join="inner").mean(axis=1, skipna=False)


def _iou_differences(refined: Records, baseline: Records, seeds: set[int]) -> pd.Series[float]:
    """Refined minus base, by image; of the images that both have."""
    sides = [_per_image({seed: side[seed] for seed in seeds}, "iou") for side in (refined, baseline)]
    pairs = pd.concat(sides, axis=1, join="inner")
    return pairs.iloc[:, 0] - pairs.iloc[:, 1]


def _plugged_in(manifests: Sequence[Manifest]) -> tuple[Column, ...]:
    """The metrics that every seed has been scored by."""
    first, *others = manifests
    shared = (label for label in first.metrics if all(label in other.metrics for other in others))
    return tuple(plugged_in(label, first.metrics[label]) for label in shared)


def _dataset_iou(records: Records) -> float | None:
    sums = pd.DataFrame([frame[["intersection", "union"]].sum() for frame in records.values()])
    # Both empty counts as 1, as for one image.
    ratio = (sums["intersection"] / sums["union"]).where(sums["union"] > 0, 1.0)
    return _number(ratio.mean())


def _spread(records: Records) -> float | None:
    """Standard deviation over seeds of the mean IoU, with n - 1; None for one seed."""
    means = pd.Series([frame["iou"].mean() for frame in records.values()])
    return _number(means.std(ddof=1))


def _costs(records: Records) -> dict[str, float | None]:
    rows = pd.concat(list(records.values()))
    peaks = {name: _number(rows[name].max()) for name in ("peak_gpu_mb", "peak_gpu_nvml_mb", "peak_rss_mb")}
    # The median, because the first image after a pause or a page fault says little about the method.
    seconds = {name: _number(rows[name].median()) for name in ("seconds", "base_seconds")}
    return {**seconds, **peaks, "energy_j": _number(rows["energy_j"].mean())}


def _number(value: float) -> float | None:
    return None if pd.isna(value) else float(value)


def _first_line(manifest: Manifest) -> str:
    return next(iter(manifest.error.strip().splitlines()), "no reason given")


def _listed(numbers: Sequence[int] | set[int]) -> str:
    return ", ".join(str(number) for number in sorted(numbers))
