r"""Sheets in LaTeX, with the packages of `bench.reports.formats.latex`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from bench.reports.formats.latex import ROWS_PER_TABLE, escape, floating, whole
from bench.reports.sheets import Field, Sheet

LONG_TEXT = 40
"""Characters. A column of text with longer ones is set in lines of this length, `_PARAGRAPH` wide."""

_PARAGRAPH = "65mm"
_LEGEND_LINE = 110
"""Characters of small print that a line holds at least."""

_LEAST_ROWS = 10


def as_latex(sheets: Sequence[Sheet]) -> str:
    """A whole document that pdflatex compiles, each sheet on a page of its own."""
    return whole(_sheet(sheet) for sheet in sheets)


def fragment(sheets: Sequence[Sheet]) -> str:
    r"""The tables of `as_latex` for ``\input``."""
    return "\n".join(map(_sheet, sheets))


def _sheet(sheet: Sheet) -> str:
    """One table float, or several where the sheet has more rows than a page."""
    wide = [_is_long(sheet, column) for column in range(len(sheet.fields))]
    lines = [(_height(row, wide), _line(sheet, place, row, wide)) for place, row in enumerate(sheet.texts())]
    legend = "\\par\n".join(escape(f"{line}.") for line in sheet.legend)
    below = sum(math.ceil(len(line) / _LEGEND_LINE) for line in sheet.legend)
    pages = list(_pages(lines, max(_LEAST_ROWS, ROWS_PER_TABLE - below)))
    tables = []
    for number, page in enumerate(pages, start=1):
        part = f" ({number} of {len(pages)})" if len(pages) > 1 else ""
        said = f": {'; '.join(sheet.remarks)}." if sheet.remarks else "."
        tables.append(floating(f"{sheet.title}{part}{said}", _tabular(sheet, page, wide), legend))
    return "\\clearpage\n".join(tables)  # TeX holds but some dozens of floats that have no page yet


def _is_long(sheet: Sheet, column: int) -> bool:
    field = sheet.fields[column]
    return field.digits is None and max((len(field.text(row[column])) for row in sheet.rows), default=0) > LONG_TEXT


def _height(row: Sequence[str], wide: Sequence[bool]) -> int:
    """The lines that a row takes."""
    return max((math.ceil(len(text) / LONG_TEXT) for text, long in zip(row, wide, strict=True) if long), default=1) or 1


def _line(sheet: Sheet, place: int, row: Sequence[str], wide: Sequence[bool]) -> str:
    cells = []
    for column, text in enumerate(row):
        shown = _shown(text, sheet.fields[column])
        if (place, column) in sheet.bold:
            shown = rf"\textbf{{{shown}}}"
        cells.append(rf"\raggedright {_breakable(text)}\strut" if wide[column] else shown)
    return " & ".join(cells) + r" \tabularnewline"  # \raggedright makes \\ end the line of a paragraph


def _shown(text: str, field: Field) -> str:
    if field.digits is not None and text.startswith("-"):
        return f"$-${escape(text[1:])}"
    return escape(text)


def _breakable(text: str) -> str:
    """A name that has no blanks goes on in the next line after one of its marks."""
    return r"\allowbreak{}".join(map(escape, re.findall(r"[^_,=/\[\]]*(?:[_,=/\[\]]+|$)", text)))


def _pages(lines: Sequence[tuple[int, str]], most: int) -> Iterator[list[str]]:
    """The rows of each table; one without rows has its headings all the same."""
    page: list[str] = []
    height = 0
    for tall, line in lines:
        if page and height + tall > most:
            yield page
            page, height = [], 0
        page.append(line)
        height += tall
    yield page


def _tabular(sheet: Sheet, lines: Sequence[str], wide: Sequence[bool]) -> str:
    kinds = "".join(
        f"p{{{_PARAGRAPH}}}" if long else "l" if field.digits is None else "r"
        for field, long in zip(sheet.fields, wide, strict=True)
    )
    return "\n".join(
        [
            rf"\begin{{tabular}}{{@{{}}{kinds}@{{}}}}",
            r"\toprule",
            " & ".join(escape(field.title) for field in sheet.fields) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )
