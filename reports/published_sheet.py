"""What was measured beside what the paper prints, in the order of its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.reports.notes import contaminated
from bench.reports.placing import Measured, Placed, called, place
from bench.reports.published import Measure, Number, PaperRow, PaperTable, Published, load
from bench.reports.reading import Found
from bench.reports.sheets import Field, Sheet, Value, sheet
from bench.store import LAYOUT, VariantName


@dataclass(frozen=True, kw_only=True)
class _Column:
    """How a column of the paper is measured here.

    Attributes:
        title: in headings.
        measured: the column of our tables.
        meaning: what that is.
        digits: of what is published.
        scale: raw to printed.
        per: of our column's unit, in a raw one.
        comparable: differences and gains tell something.
        change: what a difference to the base is called.
    """

    title: str
    measured: str
    meaning: str
    digits: int
    scale: float = 1
    per: float = 1
    comparable: bool = True
    change: str = "gain"


_COLUMNS: Mapping[Measure, _Column] = {
    "miou": _Column(
        title="mIoU",
        measured="iou_dataset",
        meaning="IoU of the pixel counts summed over all images, percent: what the paper's released code reports",
        digits=1,
        scale=100,
    ),
    "mba": _Column(
        title="mBA",
        measured="boundary_iou",
        meaning="Boundary IoU of bands 15 px wide, mean over images, percent",
        digits=1,
        scale=100,
    ),
    "mae": _Column(
        title="MAE",
        measured="mae",
        meaning="mean absolute error of the map, lower is better",
        digits=4,
        change="change",
    ),
    "memory_gb": _Column(
        title="memory",
        measured="peak_gpu_mb",
        meaning="peak of torch's allocator in the refine step, GiB, largest over images. The paper's was on an NVIDIA "
        "2080 Ti, and how it was read is not said: no difference is shown",
        digits=2,
        per=1024,
        comparable=False,
    ),
}

OTHER = "another set-up"
OUTSIDE = "not in the paper"


def sheets(found: Found, table: PaperTable, baseline: str = "identity") -> list[Sheet]:
    """One sheet for each column of a table of the paper: its rows in its order, then what is measured beside them.

    Args:
        found: the cells to show.
        table: see `bench.reports.published.Published.of_experiment`.
        baseline: the refiner that measured gains are over.
    """
    published = load()
    placed = place(found, table, published, baseline)
    return [_sheet(column, table, placed, published) for column in table.columns]


def _sheet(name: Measure, table: PaperTable, placed: Placed, published: Published) -> Sheet:
    column = _COLUMNS[name]
    rows: list[dict[str, Value]] = []
    run = {one.dataset for here in (*(here for _, here in placed.beside), placed.others) for one in here}
    for row, here in placed.beside:
        number = row.numbers.get(name)
        if number is None:
            continue
        heading: dict[str, Value] = {"block": row.block, "row": row.label, **_published(number, column)}
        rows += [{**heading, **_line(one, row, number, column, published)} for one in here]
        if not here:
            why = f"not in this store: {_command(row, table)}" if row.dataset in run else "dataset not run"
            rows.append({**heading, "set_up": why})
    for one in placed.others:
        heading = {"block": OUTSIDE, "row": one.row.refiner}
        rows.append({**heading, **_line(one, None, None, column, published)})
    used = {key for row in rows for key, value in row.items() if value not in (None, "")}
    rows = [{key: value for key, value in row.items() if key in used} for row in rows]
    return sheet(
        f"{table.experiment}-{name.replace('_', '-')}",
        f"Table {table.number} of the paper, {column.title}: {table.about}",
        _fields(column, used),
        rows,
        notes=tuple(_notes(table, placed, run)),
        repeated=1,
    )


def _fields(column: _Column, used: set[str]) -> list[Field]:
    """The columns; of those that may be empty, the ones that are not."""
    shown, digits, more = column.scale, column.digits, 2 if column.scale == 100 else column.digits
    points = ", in points" if shown == 100 else ""
    gains: dict[str, Any] = {"digits": digits, "scale": shown, "signed": True}
    fields = [
        Field(key="block", title="block"),
        Field(key="row", title="row"),
        Field(key="measured", title="measured", meaning=column.meaning, digits=more, scale=shown),
        Field(key="mean_iou", title="mean IoU", meaning="of the images' IoUs, beside it", digits=2, scale=100),
        Field(key="published", title="published", digits=digits, scale=shown),
        Field(
            key="difference",
            title="difference",
            meaning=f"measured minus published{points}, only where dataset and base are the paper's",
            **gains,
        ),
        Field(key="gain", title=column.change, meaning=f"measured over the base, on the same maps{points}", **gains),
        Field(key="published_gain", title="published gain", **gains),
        Field(key="set_up", title="set-up", meaning="in what it differs from the paper's row, as far as is known"),
    ]
    optional = {"block", "mean_iou", "difference", "gain", "published_gain"}
    return [field for field in fields if field.key in used or field.key not in optional]


def _published(number: Number, column: _Column) -> dict[str, Value]:
    return {
        "published": _raw(number.value, column),
        "published_gain": None if number.gain is None else _raw(number.gain, column),
    }


def _line(
    one: Measured, row: PaperRow | None, number: Number | None, column: _Column, published: Published
) -> dict[str, Value]:
    """What was measured, and in what it differs from the paper's row; None for what is of no row."""
    if one.row.status != "done":
        # The main tables have the error as a whole: where, and what to do.
        problem = "not finished" if one.row.status == "missing" else one.row.problem.partition(" (")[0]
        return {"set_up": "; ".join([*_elsewhere(one, row), problem])}
    value = one.row.values.get(column.measured)
    measured = None if value is None else value / column.per
    exact = row is not None and one.is_exactly(row) and column.comparable
    return {
        "measured": measured,
        "mean_iou": one.row.values["iou"] if column.measured == "iou_dataset" else None,
        "difference": measured - _raw(number.value, column) if exact and number and measured is not None else None,
        "gain": one.gains.get(column.measured) if column.comparable else None,
        "set_up": "; ".join(_set_up(one, row, column, published)),
    }


def _raw(printed: float, column: _Column) -> float:
    """A fraction of a percentage; the rounding makes 0.566 of 56.6 / 100."""
    return round(printed / column.scale, 6)


def _elsewhere(one: Measured, row: PaperRow | None) -> list[str]:
    if row is None:
        return [one.where]
    return [] if one.is_exactly(row) else [f"{OTHER}: {one.where}"]


def _set_up(one: Measured, row: PaperRow | None, column: _Column, published: Published) -> list[str]:
    """What a reader has to know before comparing."""
    cell, manifest = one.cells[0], one.manifest
    parts = _elsewhere(one, row)
    if not parts:
        labels = (("dataset", cell.dataset, one.dataset), ("base", cell.base, one.base))
        parts += [f"{kind} {label}" for kind, label, plain in labels if label != plain]
    if row is not None and (more := _more(called(manifest, "refiner"), row.refiner)):
        parts.append(f"refiner with {more}")
    if row is None and manifest.protocol != "A":
        parts.append(f"protocol {manifest.protocol}")
    if manifest.limit is not None:
        parts.append(f"limit {manifest.limit}")
    expected = published.test_images.get(one.dataset, one.row.images)
    several = "s" * (one.row.images != 1)
    if one.row.images != expected:
        parts.append(f"{one.row.images} test image{several}, not {expected}")
    elif one.dataset not in published.test_images:
        parts.append(f"{one.row.images} test image{several}")
    parts.append(f"partial copy: {manifest.complete}" if manifest.complete else "")
    seen = contaminated(one.manifests)
    parts.append(f"weights saw {', '.join(seen)}" if seen else "")
    parts.append(f"mean of {len(one.row.seeds)} seeds" if len(one.row.seeds) > 1 else "")
    parts.append("stored by an earlier version" if manifest.layout != LAYOUT else "")
    if not column.comparable:
        parts.append(manifest.environment.get("device_name") or "")
    return [part for part in parts if part]


def _more(name: VariantName, of_row: VariantName) -> str:
    """The parameters that the row does not have."""
    return ", ".join(f"{key}={text}" for key, text in name.parameters.items() if of_row.parameters.get(key) != text)


def _notes(table: PaperTable, placed: Placed, run: set[str]) -> list[str]:
    notes = [f"published: PatchRefineNet, WACV 2024, Table {table.number}; PRN at 512 px with patches of 64 px"]
    if any(not one.is_exactly(row) for row, here in placed.beside for one in here):
        notes.append(f"{OTHER}: other images or another base, so that no difference is shown")
    if absent := [row for row, _ in placed.beside if row.dataset not in run]:
        commands = dict.fromkeys(f"bench run --experiment {_experiment(row, table)}" for row in absent)
        notes.append(f"on the paper's own data: {', '.join(commands)}")
    return notes


def _experiment(row: PaperRow, table: PaperTable) -> str:
    """The one of bench.toml that has the row and no other dataset."""
    several = len({other.dataset for other in table.rows}) > 1
    return f"{table.experiment}-{row.dataset}" if several else table.experiment


def _command(row: PaperRow, table: PaperTable) -> str:
    refiner = row.refiner.label()
    quoted = f'"{refiner}"' if "[" in refiner else refiner
    protocol = f" --protocol {row.protocol}" if len({other.protocol for other in table.rows}) > 1 else ""
    return f"bench run --experiment {_experiment(row, table)} --base {row.base} --refiner {quoted}{protocol}"
