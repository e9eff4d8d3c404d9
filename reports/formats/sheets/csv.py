"""Sheets as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from bench.redaction import cell
from bench.reports.sheets import Sheet


def as_csv(sheets: Sequence[Sheet]) -> str:
    """One header line and one line a row of each sheet, numbers as they were computed; an empty line between two."""
    return "\n".join(_csv(sheet) for sheet in sheets)


def _csv(sheet: Sheet) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.key for field in sheet.fields)
    writer.writerows([cell(value) if isinstance(value, str) else value for value in row] for row in sheet.rows)
    return text.getvalue()
