"""A workbook for spreadsheets: a sheet for each kind of table, numbers as numbers, and what they mean."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import xlsxwriter

from bench.redaction import printable
from bench.reports.formats import flat
from bench.reports.sheets import Field, Sheet, Value
from bench.reports.tables import Report
from bench.runtime.environment import DISTRIBUTION, version_of

if TYPE_CHECKING:
    from xlsxwriter.format import Format
    from xlsxwriter.worksheet import Worksheet

LEGEND = "legend"
"""The last sheet."""

CREATED = datetime(2000, 1, 1)
"""The date of every workbook, so that the same tables are the same bytes."""

_WIDEST = 40
"""Characters of a column; the names stay beside the numbers on a screen."""

_WRAPPED = 110
"""Characters of a line of the legend."""

_LONGEST = 32_767
"""Characters that a spreadsheet's cell holds."""


def render(report: Report, sheets: Sequence[Sheet] = ()) -> bytes:
    """The workbook of a report: ``quality``, ``headroom`` and ``cost``, the further sheets, ``legend``.

    Numbers are those that are shown (metrics and gains in percent points), not rounded; their formats round. Text is
    never a formula or a link.
    """
    said = [(group.title, line) for group in report.groups for line in (*group.remarks, *group.origin)]
    said += [(group.title, f"note: {note}") for group in report.groups for note in group.notes]
    said += [("damaged, left out", line) for line in report.damaged]
    return workbook([*flat.sheets(report), *sheets], said)


def workbook(sheets: Sequence[Sheet], said: Sequence[tuple[str, str]] = ()) -> bytes:
    """The workbook of some sheets.

    Args:
        sheets: each becomes one, called by its key.
        said: more for the legend: what it is about, and a sentence.
    """
    target = io.BytesIO()
    safe = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(target, {"in_memory": True, **safe}) as book:
        program = f"{DISTRIBUTION} {version_of(DISTRIBUTION)}".strip()
        book.set_properties({"created": CREATED, "author": program})
        formats = _Formats(book)
        for sheet in sheets:
            _write(book.add_worksheet(sheet.key), sheet, formats)
        page = book.add_worksheet(LEGEND)
        _write(page, _legend(sheets, said), formats, wrap=True)
        page.set_column(1, 1, _WRAPPED)
    return target.getvalue()


class _Formats:
    """Each kind of cell's format, made once."""

    def __init__(self, book: xlsxwriter.Workbook) -> None:
        self._book = book
        self._made: dict[tuple[str, bool, bool], Format] = {}

    def of(self, number: str = "", *, bold: bool = False, wrap: bool = False) -> Format:
        kind = number, bold, wrap
        if kind not in self._made:
            look: dict[str, Any] = {"bold": bold, "text_wrap": wrap, "valign": "top"}
            self._made[kind] = self._book.add_format(look | ({"num_format": number} if number else {}))
        return self._made[kind]


def _write(page: Worksheet, sheet: Sheet, formats: _Formats, *, wrap: bool = False) -> None:
    for column, field in enumerate(sheet.fields):
        page.write_string(0, column, _text(field.title), formats.of(bold=True))
        shown = [field.text(row[column]) for row in sheet.rows]
        page.set_column(column, column, min(_WIDEST, max(map(len, (field.title, *shown))) + 2))
    for index, row in enumerate(sheet.rows):
        for column, (field, value) in enumerate(zip(sheet.fields, row, strict=True)):
            number = "" if isinstance(value, str) else _number(field)
            look = formats.of(number, bold=(index, column) in sheet.bold, wrap=wrap)
            _put(page, index + 1, column, value, field.scale, look)
    # The header and the columns that name a row stay in sight; the header's arrows filter.
    page.freeze_panes(1, _naming(sheet.fields))
    page.autofilter(0, 0, len(sheet.rows), len(sheet.fields) - 1)


def _put(page: Worksheet, row: int, column: int, value: Value, scale: float, look: Format) -> None:
    if isinstance(value, str):
        page.write_string(row, column, _text(value), look)
    elif value is None or not math.isfinite(value):
        page.write_blank(row, column, None, look)
    else:
        page.write_number(row, column, value * scale, look)


def _number(field: Field) -> str:
    """Its format: digits, sign and unit as `Field.text` writes them."""
    if field.digits is None:
        return ""
    plain = "0" + ("." + "0" * field.digits if field.digits else "") + (f'"{field.unit}"' if field.unit else "")
    return f"+{plain};-{plain};{plain}" if field.signed else plain


def _naming(fields: Sequence[Field]) -> int:
    """The leading columns of text, and what stands among them up to the refiner."""
    keys = [field.key for field in fields]
    if "refiner" in keys:
        return keys.index("refiner") + 1
    return next((place for place, field in enumerate(fields) if field.digits is not None), 0)


def _text(text: str) -> str:
    return printable(text)[:_LONGEST]


def _legend(sheets: Sequence[Sheet], said: Sequence[tuple[str, str]]) -> Sheet:
    fields = Field(key="of", title="Of"), Field(key="meaning", title="What to know")
    return Sheet(key=LEGEND, title="Legend", fields=fields, rows=(*said, *_meanings(sheets)))


def _meanings(sheets: Sequence[Sheet]) -> Iterator[tuple[str, str]]:
    for sheet in sheets:
        for sentence in (*sheet.remarks, *sheet.legend):
            yield sheet.key, sentence
