"""The tables of ``bench report --bias``: figures, the base's error by position, histograms, calibration."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bench.contracts import UserError
from bench.metrics.bias import BIASED, BIASES, GRID, LEVELS, THRESHOLDS
from bench.reports.bias import columns
from bench.reports.bias.columns import DATASET
from bench.reports.bias.figures import Figures, Floats
from bench.reports.bias.rows import Row, Table, labels, tables
from bench.reports.reading import Found
from bench.reports.resampling import RESAMPLES
from bench.reports.sheets import Field, Sheet, Value, sheet
from bench.reports.tables import Report
from bench.store import Manifest

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


def measured(manifest: Manifest) -> bool:
    """Whether a cell is scored by the metric."""
    return bool(labels(manifest))


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
    return [part(table) for table in tables(found, report) for part in parts]


def _errors(table: Table) -> Sheet:
    rows = [_named(row, {**row.figures.errors(), **row.change}) for row in table.rows]
    return _sheet(table, "errors", "signed errors of maps and patches", columns.ERRORS, rows, notes=READING, repeated=2)


def _thresholds(table: Table) -> Sheet:
    rows = [_named(row, row.figures.of_thresholds()) for row in table.rows]
    fields = columns.THRESHOLDS
    return _sheet(table, "thresholds", "best thresholds of patches", fields, rows, notes=OF_THRESHOLDS, repeated=2)


def _positions(table: Table) -> Sheet:
    """Of the bases alone."""
    places = range(1, GRID + 1)
    fields = [
        columns.BASE,
        Field(key="row", title="row", digits=0),
        *(Field(key=f"column_{place}", title=str(place), digits=3, signed=True) for place in places),
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
    return _sheet(table, "positions", "signed error by position", fields, rows, notes=notes, repeated=2)


def _histogram_of_patches(table: Table) -> Sheet:
    centre = Field(key="bias", title="patch bias", digits=1, signed=True)
    bins = [{"bias": float(centre)} for centre in BIASES]
    notes = (
        "Percent of all patches, of all images and seeds, whose mean of map minus truth is within 0.05 of the number "
        "on the left: 0.0 is neither too high nor too low, what is above it is too high",
    )
    return _histogram(table, "patches", "bias of patches", [centre], bins, lambda figures: figures.patches, notes)


def _histogram_of_thresholds(table: Table) -> Sheet:
    ends = [Field(key=end, title=end, digits=2) for end in ("from", "to")]
    bins = [{"from": float(low), "to": float(high)} for low, high in itertools.pairwise(THRESHOLDS)]
    notes = (
        "Percent of the patches that hold foreground and background, of all images and seeds, by their best threshold; "
        "from 0.50 to 0.50 are those that lose nothing by 0.5",
    )
    title = "histogram of best thresholds"
    return _histogram(table, "threshold_bins", title, ends, bins, lambda figures: figures.thresholds, notes)


def _histogram(
    table: Table,
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
    return _sheet(table, key, title, fields, rows, notes=notes, repeated=2)


def _calibration(table: Table) -> Sheet:
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
    return _sheet(
        table, "calibration", "calibration", fields, rows, notes=("All pixels of all images and seeds",), repeated=3
    )


def _sheet(table: Table, key: str, title: str, fields: Sequence[Field], rows: Iterable[Numbers], **more: Any) -> Sheet:
    """One of the table's; each row gets the dataset."""
    full = [{DATASET.key: table.dataset, **row} for row in rows]
    return sheet(
        f"{key}{table.number}", f"{table.title}: {title}", [DATASET, *fields], full, remarks=table.remarks, **more
    )


def _named(row: Row, numbers: Numbers) -> Numbers:
    return {"base": row.base, "refiner": row.refiner, **numbers}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
