"""The main tables as sheets: of each section one, over all datasets and bases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bench.reports.columns import Column
from bench.reports.formats import csv
from bench.reports.pairs import GAINS
from bench.reports.rows import Row
from bench.reports.sheets import Field, Sheet, Value
from bench.reports.tables import Block, Report, Section

KEYS = {"Quality": "quality", "Headroom recovered": "headroom", "Cost": "cost"}
"""Section -> its sheet."""

NAMES = (
    Field(key="dataset", title="Dataset"),
    Field(key="limit", title="Limit", digits=0),
    Field(key="protocol", title="Protocol"),
    Field(key="base", title="Base"),
    Field(key="refiner", title="Refiner"),
)
_STATE = (
    Field(key="status", title="Status"),
    Field(key="images", title="Images", digits=0),
    Field(key="seeds", title="Seeds"),
    Field(key="rules", title="Rules"),
)
_NOTES = (Field(key="problem", title="Problem"), Field(key="notes", title="Notes"))


def sheets(report: Report) -> list[Sheet]:
    """The values of `bench.reports.formats.csv.lines`, with the best in bold; a row's notes are its own alone."""
    rows = [(block, row) for group in report.groups for block in group.blocks for row in block.rows]
    lines = [
        {**line, "notes": "; ".join(row.notes) or None} for line, (_, row) in zip(csv.lines(report), rows, strict=True)
    ]
    return [_sheet(section, lines, rows) for section in report.sections()]


def _sheet(section: Section, lines: Sequence[Mapping[str, object]], rows: Sequence[tuple[Block, Row]]) -> Sheet:
    quality = KEYS[section.title] == "quality"
    fields = (*NAMES, *_STATE, *_fields(section.columns), *(_NOTES if quality else ()))
    places = {field.key: place for place, field in enumerate(fields)}
    bold = {
        (index, places[column.key])
        for index, (block, row) in enumerate(rows)
        for column in section.columns
        if row.refiner == block.best(column)
    }
    return Sheet(
        key=KEYS[section.title],
        title=section.title,
        fields=fields,
        rows=tuple(tuple(_value(line[field.key]) for field in fields) for line in lines),
        notes=tuple(sentence.removesuffix(".") for sentence in section.legend),
        bold=frozenset(bold),
    )


def _fields(columns: Sequence[Column]) -> Iterator[Field]:
    for column in columns:
        yield Field(key=column.key, title=column.title, digits=column.digits, scale=column.scale, unit=column.unit)
        if column in GAINS:
            name = column.title.split()[0]
            for end, title in (("gain", "gain"), ("gain_low", "gain from"), ("gain_high", "gain to")):
                key = f"{column.key}_{end}"
                yield Field(key=key, title=f"{name} {title}", digits=1, scale=column.scale, signed=True)
            for count in ("wins", "ties", "losses"):
                yield Field(key=f"{column.key}_{count}", title=f"{name} {count}", digits=0)
            yield Field(key=f"{column.key}_lost", title=f"{name} lost", digits=0, scale=100, unit=" %")


def _value(value: object) -> Value:
    return value if value is None or isinstance(value, str | int | float) else str(value)
