"""One row of a table: the cells of one base and one refiner, over all their seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from bench.metrics.columns import IMAGE_METRICS
from bench.reports.columns import COST, QUALITY, SPREAD, Column, Records, curves, per_image, plugged_in
from bench.reports.notes import contaminated, contamination, remarks, tuning
from bench.reports.scores import shared_images
from bench.reports.selection import Selected, maps_of
from bench.reports.statistics import Gain
from bench.store import Manifest


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
        records: the numbers of the finished cells, by seed.
        maps: which base maps of which images each seed refines: equal where two rows pair up.
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
    records: Records = field(default_factory=dict, repr=False, compare=False)
    maps: Mapping[int, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def marked(self) -> str:
        """The refiner, with a dagger where it is an oracle."""
        return f"{self.refiner} †" if self.oracle else self.refiner


def unfinished(base: str, refiner: str, cells: Sequence[Selected], *, oracle: bool) -> Row:
    """The row of cells of which none has finished, or of no cell at all."""
    failed = [cell.manifest for cell in cells if cell.manifest.status == "failed"]
    if not failed:
        return Row(base, refiner, "missing", problem="missing", oracle=oracle)
    status: Literal["failed", "damaged"] = "damaged" if all(cell.damaged for cell in cells) else "failed"
    return Row(base, refiner, status, problem=f"{status}: {_first_line(failed[0])}", oracle=oracle)


def finished(base: str, refiner: str, cells: Sequence[Selected], records: Records, *, oracle: bool) -> Row:
    """The row's own numbers; `bench.reports.pairs` and `with_gaps` add the rest.

    Args:
        base, refiner: variant names.
        cells: all of the row's cells.
        records: the numbers of those that have finished, at least one.
        oracle: the refiner uses the ground truth.
    """
    done = [cell.manifest for cell in cells if cell.manifest.status == "done"]
    more = _plugged_in(done)
    manifests = [cell.manifest for cell in cells]
    columns = (*QUALITY, *more, SPREAD, *COST)
    values = {column.key: column.value(records, manifests) for column in columns if column.value is not None}
    images = len(shared_images(records.values()))
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
        records=records,
        maps={manifest.seed: maps_of(manifest) for manifest in done},
    )


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
    missing = {title: np.isnan(per_image(records, key)) for key, title in numbers.items()}
    for column in more:
        if column.curve:
            nowhere = np.isnan(curves(records, column.key)[0])
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
