"""The tables of ``bench report --bias``: figures, the base's error by position, histograms, calibration."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.contracts import UserError
from bench.metrics.bias import BIASED, BIASES, GRID, LEVELS, SIZE, THRESHOLDS
from bench.reports.bias import columns
from bench.reports.bias.columns import DATASET
from bench.reports.bias.figures import Figures, Floats
from bench.reports.pairs import numbered
from bench.reports.reading import Found
from bench.reports.resampling import RESAMPLES
from bench.reports.selection import Selected
from bench.reports.sheets import Field, Sheet, Value, sheet
from bench.reports.tables import Group, Report
from bench.store import Manifest

METRIC = "bias"
"""The plug-in whose vectors are shown."""

INTERVALS = (
    "low, high: ends of the 95 % percentile bootstrap interval of a mean over images "
    f"({RESAMPLES:,} resamples of the images; of several seeds, too)"
)

READING = (
    "Compare each refiner with the base's own map, the first row of a base: what it mends comes down; † sees the truth",
    f"A patch is too high or too low where that is by more than {BIASED:g}, which at 64 pixels is more than a contour "
    "across the patch costs that lies 3 pixels off",
    "What one curve for all maps could mend, the refiners calibration (probabilities) and threshold (masks) mend, if "
    "they were run: what their rows leave differs from image to image or from place to place",
    INTERVALS,
)

OF_THRESHOLDS = (
    "A patch counts as 0.5 where no threshold makes a better mask: there the map decides rightly, or cannot do better",
    "A map of nearly two values has hardly any other thresholds: that its patches are at 0.5 says nothing, and its "
    "signed errors tell what it leaves",
    "Each patch has the threshold that is best for it alone, so that some differ from 0.5 by noise, without any bias",
    INTERVALS,
)

Numbers = Mapping[str, Value]


@dataclass(frozen=True)
class _Row:
    """One base with one refiner, whose name has a dagger where it sees the truth."""

    base: str
    refiner: str
    is_base: bool
    figures: Figures


@dataclass(frozen=True)
class _Table:
    """The finished rows of one dataset by one metric, in the report's order.

    Attributes:
        key: what the keys of its sheets begin with.
        dataset: as the report calls it.
        title: what the titles of its sheets begin with.
        remarks: the report's, of the dataset.
    """

    key: str
    dataset: str
    title: str
    remarks: tuple[str, ...]
    rows: tuple[_Row, ...]

    def sheet(self, key: str, title: str, fields: Sequence[Field], rows: Iterable[Numbers], **more: Any) -> Sheet:
        """One of its sheets; each row gets the dataset."""
        full = [{DATASET.key: self.dataset, **row} for row in rows]
        key = f"{self.key}_{key}" if key else self.key
        return sheet(key, f"{self.title}: {title}", [DATASET, *fields], full, remarks=self.remarks, **more)


def measured(manifest: Manifest) -> bool:
    """Whether a cell is scored by the metric."""
    return bool(_labels(manifest))


def missing(store: str) -> UserError:
    """There is nothing to show."""
    fix = "compute it: bench run ... --metric bias; what the store has learned is used again"
    return UserError("no finished cell has the bias of its maps", store, fix)


def sheets(found: Found, report: Report) -> list[Sheet]:
    """Six tables a dataset; so many again for each other side of patches that the store has.

    Args:
        found: the cells to show; those that are not `measured` are passed over.
        report: the tables of the same cells.

    Returns:
        None where no cell has finished.
    """
    parts = (_errors, _thresholds, _positions, _histogram_of_patches, _histogram_of_thresholds, _calibration)
    return [part(table) for table in _tables(found, report) for part in parts]


def _errors(table: _Table) -> Sheet:
    rows = [_named(row, row.figures.errors()) for row in table.rows]
    return table.sheet("", "signed errors of maps and patches", columns.ERRORS, rows, notes=READING, repeated=2)


def _thresholds(table: _Table) -> Sheet:
    rows = [_named(row, row.figures.of_thresholds()) for row in table.rows]
    fields = columns.THRESHOLDS
    return table.sheet("thresholds", "best thresholds of patches", fields, rows, notes=OF_THRESHOLDS, repeated=2)


def _positions(table: _Table) -> Sheet:
    """Of the bases alone."""
    numbered = range(1, GRID + 1)
    fields = [
        columns.BASE,
        Field(key="row", title="row", digits=0),
        *(Field(key=f"column_{place}", title=str(place), digits=3, signed=True) for place in numbered),
    ]
    rows = [
        {"base": row.base, "row": place, **{f"column_{k}": _number(value) for k, value in enumerate(errors, 1)}}
        for row in table.rows
        if row.is_base
        for place, errors in enumerate(row.figures.positions, 1)
    ]
    notes = (
        "Signed error of the base's own map at each of 8 x 8 positions of an image, averaged over the images, whatever "
        "their sizes: row 1 is the top, column 1 the left",
    )
    return table.sheet("positions", "signed error by position", fields, rows, notes=notes, repeated=2)


def _histogram_of_patches(table: _Table) -> Sheet:
    centre = Field(key="bias", title="patch bias", digits=1, signed=True)
    bins = [{"bias": float(centre)} for centre in BIASES]
    notes = (
        "Percent of all patches, of all images and seeds, whose mean of map minus truth is within 0.05 of the number "
        "on the left: 0.0 is neither too high nor too low, what is above it is too high",
    )
    return _histogram(table, "patches", "bias of patches", [centre], bins, lambda figures: figures.patches, notes)


def _histogram_of_thresholds(table: _Table) -> Sheet:
    ends = [Field(key=end, title=end, digits=2) for end in ("from", "to")]
    bins = [{"from": float(low), "to": float(high)} for low, high in itertools.pairwise(THRESHOLDS)]
    notes = (
        "Percent of the patches that hold foreground and background, of all images and seeds, by their best threshold; "
        "from 0.50 to 0.50 are those that lose nothing by 0.5",
    )
    title = "histogram of best thresholds"
    return _histogram(table, "threshold_bins", title, ends, bins, lambda figures: figures.thresholds, notes)


def _histogram(
    table: _Table,
    key: str,
    title: str,
    named: Sequence[Field],
    bins: Sequence[Numbers],
    shares: Callable[[Figures], Floats],
    notes: Sequence[str],
) -> Sheet:
    """One row a base and bin, one column a refiner."""
    refiners = tuple(dict.fromkeys(row.refiner for row in table.rows))
    rows = []
    for base in dict.fromkeys(row.base for row in table.rows):
        found = {row.refiner: shares(row.figures) for row in table.rows if row.base == base}
        for place, edges in enumerate(bins):
            here = {refiner: _number(share[place]) for refiner, share in found.items()}
            rows.append({"base": base, **edges, **here})
    fields = [columns.BASE, *named, *(Field(key=name, title=name, digits=1, scale=100) for name in refiners)]
    return table.sheet(key, title, fields, rows, notes=notes, repeated=2)


def _calibration(table: _Table) -> Sheet:
    fields = [
        columns.BASE,
        columns.REFINER,
        *(Field(key=end, title=end, digits=3) for end in ("from", "to")),
        Field(key="share", title="% pixels", meaning="that the map gives such a probability", digits=1, scale=100),
        Field(key="confidence", title="confidence", meaning="mean probability of those pixels", digits=3),
        Field(
            key="accuracy",
            title="foreground",
            meaning="share of them that are foreground: below the confidence the map is too high, above it too low",
            digits=3,
        ),
    ]
    rows = []
    for row in table.rows:
        for level, values in enumerate(zip(*row.figures.calibration, strict=True)):
            numbers = dict(zip(("share", "confidence", "accuracy"), map(_number, values), strict=True))
            rows.append(_named(row, {"from": level / LEVELS, "to": (level + 1) / LEVELS, **numbers}))
    return table.sheet(
        "calibration", "calibration", fields, rows, notes=("All pixels of all images and seeds",), repeated=3
    )


def _tables(found: Found, report: Report) -> list[_Table]:
    named = [(group, label) for group in report.groups for label in _labels_of(group, found)]
    return [
        _Table(
            METRIC if len(named) == 1 else f"{METRIC}_{number}",
            group.dataset,
            group.title if label == METRIC else f"{group.title}, {label}",
            group.remarks,
            tuple(_rows(group, label, found, report.baseline)),
        )
        for number, (group, label) in enumerate(named, 1)
    ]


def _rows(group: Group, label: str, found: Found, baseline: str) -> Iterator[_Row]:
    cells = [cell for cell in _finished(group, found) if label in _labels(cell.manifest)]
    for block, row in [(one, row) for one in group.blocks for row in one.rows]:
        own = [cell for cell in cells if (cell.base, cell.refiner) == (row.base, row.refiner)]
        if not own:
            continue
        # Only images that every seed has, as in the other tables.
        frames = [found.records[cell.manifest.key].set_index("id")[label] for cell in own]
        seeds = pd.concat(frames, axis=1, join="inner")
        vectors = [np.stack(list(seeds.iloc[:, place])) for place in range(len(own))]
        refiner = f"{row.refiner} †" if row.oracle else row.refiner
        figures = Figures(vectors, numbered(seeds.index, block.groups))
        yield _Row(row.base, refiner, row.refiner == baseline, figures)


def _labels_of(group: Group, found: Found) -> tuple[str, ...]:
    return tuple(dict.fromkeys(label for cell in _finished(group, found) for label in _labels(cell.manifest)))


def _finished(group: Group, found: Found) -> Iterator[Selected]:
    for cell in found.cells:
        one = cell.manifest
        place = cell.dataset, one.limit, one.layout, one.protocol
        if one.status == "done" and place == (group.dataset, group.limit, group.layout, group.protocol):
            yield cell


def _labels(manifest: Manifest) -> list[str]:
    """The columns of its records that hold bias vectors."""
    return [
        label
        for label, metric in manifest.metrics.items()
        if label.partition("[")[0] == METRIC and metric.curve == SIZE
    ]


def _named(row: _Row, numbers: Numbers) -> Numbers:
    return {"base": row.base, "refiner": row.refiner, **numbers}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
