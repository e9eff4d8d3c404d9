"""Sheets, what a report says beside its main tables, in every format of text; `bench.reports.formats.xlsx` has more."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.reports.formats import json
from bench.reports.formats.sheets.csv import as_csv
from bench.reports.formats.sheets.latex import as_latex, fragment
from bench.reports.formats.sheets.markdown import as_markdown
from bench.reports.sheets import Sheet

__all__ = ["RENDERERS", "as_csv", "as_latex", "as_markdown", "fragment"]

RENDERERS: dict[str, Callable[[Sequence[Sheet]], str]] = {
    "markdown": as_markdown,
    "latex": as_latex,
    "csv": as_csv,
    "json": json.of_sheets,
}
"""By the name of the command line's option."""
