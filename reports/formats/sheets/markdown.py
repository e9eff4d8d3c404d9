"""Sheets in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import tabulate

from bench.reports.formats import markdown
from bench.reports.sheets import Sheet


def as_markdown(sheets: Sequence[Sheet]) -> str:
    """A heading, the remarks, the table and the legend of each; fit to be read on a screen, too."""
    return "\n".join(_markdown(sheet) for sheet in sheets)


def _markdown(sheet: Sheet) -> str:
    plain = markdown.plain
    rows = [
        [f"**{plain(text)}**" if (place, column) in sheet.bold else plain(text) for column, text in enumerate(row)]
        for place, row in enumerate(sheet.texts())
    ]
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
