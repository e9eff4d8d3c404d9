"""What the table of two stores shows of a row: verdict, values of A and of B, what changed; as cells and as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from bench.reports import changes, legend
from bench.reports.columns import COST, NOT_AVAILABLE, QUALITY, Column
from bench.reports.compared_rows import STATES, ComparedRow, Difference, State
from bench.reports.page.content import Heading, Part, Shown
from bench.reports.page.tables import of_gain
from bench.reports.sheets import Field, Sheet, Value, sheet
from bench.reports.statistics import FEW_MARK

SAID: Mapping[State, str] = {
    **dict[State, str](changes.SAID.items()),
    "lost": "failed in B",
    "A": "in A alone",
    "B": "in B alone",
}

_IOU, _SECONDS = QUALITY[0], COST[0]
_CHANGES, _VALUES, _COSTS = "changes", "values", "cost"
_PRINTED = 2
"""Of the columns of quality, so many are in tables for a paper."""


@dataclass(frozen=True)
class Columns:
    """Those that some row of a table has.

    Attributes:
        costs: those that were measured.
    """

    quality: Sequence[Column]
    costs: Sequence[Column]

    @classmethod
    def of(cls, rows: Sequence[ComparedRow]) -> Columns:
        known = {key for row in rows for side in row.sides for key, value in side.values.items() if value is not None}
        quality = dict.fromkeys(column for row in rows for column in row.quality)
        return cls([*quality], [column for column in COST if column.key in known])

    @property
    def printed(self) -> Columns:
        """Those of a table for a paper."""
        return Columns(self.quality[:_PRINTED], self.costs[:1])


def parts(columns: Columns, tolerance: float) -> list[Part]:
    """The kinds of columns, explained."""
    rules = [f"{rule}." for rule in changes.rules(tolerance)]
    seconds = "B / A: of the costs, which are never judged."
    shown = [
        Part(_CHANGES, "Changes", (*legend.of_changes(columns.quality), *rules)),
        Part(_VALUES, "Values", ("What A and B have, without the differences.",)),
        Part(_COSTS, "Cost", (*legend.of_cost(columns.costs), seconds)),
    ]
    return shown if columns.costs else shown[:-1]


def headings(columns: Columns) -> list[Heading]:
    """Of `cells`."""
    first, *others = columns.quality
    found = [
        Heading("verdict", "Verdict", _CHANGES, lower=True),
        Heading("changed", "changed", _CHANGES, lower=False),
        *_sides(first, _CHANGES),
        _change(first),
        Heading(f"{first.key}_share", "W/T/L", _CHANGES, lower=True),
        *map(_change, others),
    ]
    for column in others:
        found += _sides(column, _VALUES)
    for column in columns.costs:
        found += [*_sides(column, _COSTS), Heading(f"{column.key}_ratio", "B / A", _COSTS, lower=True)]
    return found


def cells(row: ComparedRow, columns: Columns) -> list[Shown]:
    """The cells of a row, one for each of `headings` of all of them."""
    first, *others = columns.quality
    own = {column.key: row.difference(column) for column in row.quality}
    found = [_verdict(row), _changed(row), *_values(first, own), *_changes(first, own), _share(own[first.key])]
    for column in others:
        found += _changes(column, own)
    for column in others:
        found += _values(column, own)
    for column in columns.costs:
        cost = row.difference(column)
        found += [*_values(column, {column.key: cost}), _ratio(cost)]
    return found


def facts(row: ComparedRow) -> dict[str, Any]:
    """What the filters and the plots know of a row, but for its names."""
    iou, seconds = row.difference(_IOU), row.difference(_SECONDS)
    said = f"{_SECONDS.title} A {_SECONDS.text(seconds.before)}, B {_SECONDS.text(seconds.after)}"
    return {
        "oracle": row.oracle,
        "verdict": SAID[row.state],
        "before": iou.before,
        "after": iou.after,
        "change": of_gain(iou.gain),
        "x": {"seconds": _quotient(seconds), "quality": None if iou.before is None else _IOU.scale * iou.before},
        "said": said,
    }


def table(rows: Sequence[ComparedRow], columns: Columns, title: str) -> Sheet:
    """The rows as a sheet."""
    fields = [
        *(Field(key=key, title=key.capitalize()) for key in ("dataset", "base", "refiner", "verdict")),
        Field(key="changed", title="changed", digits=0),
        *(field for column in columns.quality for field in _fields(column)),
        *(Field(key=f"{_IOU.key}_{count}", title=count, digits=0) for count in ("wins", "ties", "losses")),
        *(field for column in columns.costs for field in _fields(column)[:2]),
    ]
    return sheet("compared", title, fields, [_record(row, columns) for row in rows])


def _record(row: ComparedRow, columns: Columns) -> dict[str, Value]:
    names = {"dataset": row.title, "base": row.key.base, "refiner": row.key.refiner}
    found: dict[str, Value] = {**names, "verdict": SAID[row.state], "changed": _count(row)}
    for column in columns.quality:
        if column in row.quality:
            one = row.difference(column)
            values = (one.before, one.after, one.change, one.low, one.high)
            found |= dict(zip((field.key for field in _fields(column)), values, strict=True))
    for column in columns.costs:
        cost = row.difference(column)
        found |= {f"{column.key}_a": cost.before, f"{column.key}_b": cost.after}
    if gain := row.difference(_IOU).gain:
        found |= {f"{_IOU.key}_{count}": getattr(gain, count) for count in ("wins", "ties", "losses")}
    return found


def _fields(column: Column) -> list[Field]:
    shown: dict[str, Any] = {"digits": column.digits, "scale": column.scale}
    name = column.title
    return [
        Field(key=f"{column.key}_a", title=f"{name} A", unit=column.unit, **shown),
        Field(key=f"{column.key}_b", title=f"{name} B", unit=column.unit, **shown),
        Field(key=f"{column.key}_change", title=f"{name} B - A", signed=True, **shown),
        Field(key=f"{column.key}_low", title="from", signed=True, **shown),
        Field(key=f"{column.key}_high", title="to", signed=True, **shown),
    ]


def _sides(column: Column, part: str) -> list[Heading]:
    lower = column.better == "lower" or part == _COSTS
    return [Heading(f"{column.key}_{end.lower()}", f"{column.title} {end}", part, lower) for end in "AB"]


def _change(column: Column) -> Heading:
    return Heading(f"{column.key}_change", f"{column.title} B - A", _CHANGES, column.better != "lower")


def _verdict(row: ComparedRow) -> Shown:
    text, rank = SAID[row.state], STATES.index(row.state)
    if row.state in ("regressed", "improved"):
        judged = [change for cell in row.cells for change in cell.changes if change.verdict == row.state]
        text += f": {', '.join(dict.fromkeys(change.metric.title for change in judged))}"
    worse = row.state in ("lost", "regressed")
    return Shown(Markup("<strong>{}</strong>").format(text) if worse else text, rank)


def _changed(row: ComparedRow) -> Shown:
    count = _count(row)
    return Shown("" if count is None else f"{count} of {sum(cell.images for cell in row.cells)}", count)


def _count(row: ComparedRow) -> int | None:
    return sum(cell.changed for cell in row.cells) if row.cells else None


def _values(column: Column, own: dict[str, Difference]) -> Iterator[Shown]:
    """Of A and of B; nothing for a side that is not there."""
    one = own.get(column.key)
    for value in (one.before, one.after) if one else (None, None):
        yield Shown("" if value is None else column.text(value), value)


def _changes(column: Column, own: dict[str, Difference]) -> Iterator[Shown]:
    one = own.get(column.key)
    if one is None or one.change is None:
        yield Shown("", None)
        return
    field = _fields(column)[2]
    if one.change == one.low == one.high == 0:
        yield Shown(field.text(0.0), 0.0)
        return
    ends = NOT_AVAILABLE if one.low is None or one.high is None else f"{field.text(one.low)}, {field.text(one.high)}"
    yield Shown(f"{field.text(one.change)} {FEW_MARK if one.few else ''}[{ends}]", one.change)


def _share(one: Difference) -> Shown:
    gain = one.gain
    return Shown("", None) if gain is None else Shown(f"{gain.wins}/{gain.ties}/{gain.losses}", gain.wins - gain.losses)


def _ratio(cost: Difference) -> Shown:
    value = _quotient(cost)
    return Shown("" if value is None else f"{value:.2f}", value)


def _quotient(cost: Difference) -> float | None:
    return cost.after / cost.before if cost.before and cost.after is not None else None
