"""Sheets in every format: what a report says beside its main tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence

import tabulate

from bench.redaction import cell
from bench.reports.formats import markdown
from bench.reports.sheets import Sheet


def as_markdown(sheets: Sequence[Sheet]) -> str:
    """A heading, the remarks, the table and the legend of each; fit to be read on a screen, too."""
    return "\n".join(_markdown(sheet) for sheet in sheets)


def as_csv(sheets: Sequence[Sheet]) -> str:
    """One header line and one line a row of each sheet, numbers as they were computed; an empty line between two."""
    return "\n".join(_csv(sheet) for sheet in sheets)


RENDERERS: dict[str, Callable[[Sequence[Sheet]], str]] = {"markdown": as_markdown, "csv": as_csv}
"""By the name of the command line's option."""


def _markdown(sheet: Sheet) -> str:
    plain = markdown.plain
    rows = [[plain(text) for text in row] for row in sheet.texts()]
    align = ["left" if field.digits is None else "right" for field in sheet.fields]
    titles = [plain(field.title) for field in sheet.fields]
    table = tabulate.tabulate(rows, titles, "github", colalign=align if rows else None, disable_numparse=True)
    parts = [f"## {plain(sheet.title)}"]
    if sheet.remarks:
        parts.append(f"{plain('; '.join(sheet.remarks))}.")
    parts.append(table)
    if sheet.legend:
        parts.append("\n".join(f"- {plain(line)}." for line in sheet.legend))
    return "\n\n".join(parts) + "\n"


def _csv(sheet: Sheet) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.key for field in sheet.fields)
    writer.writerows([cell(value) if isinstance(value, str) else value for value in row] for row in sheet.rows)
    return text.getvalue()
