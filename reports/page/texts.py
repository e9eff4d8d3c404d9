"""The tables as text to copy, made by the formats of the reports."""

from __future__ import annotations

import csv as reading
import io
from collections.abc import Sequence
from dataclasses import replace

from bench.reports.formats import csv, markdown, paper
from bench.reports.formats.sheets import RENDERERS, as_csv, as_markdown, fragment
from bench.reports.page.lines import Line
from bench.reports.sheets import Sheet
from bench.reports.tables import Report

FORMS = ("latex", "csv", "markdown")


def of_blocks(report: Report, lines: Sequence[Line]) -> list[dict[str, object]]:
    """One for each dataset and base, in their order: the ids of its rows, and the table in each form.

    The CSV of all has one heading, which stands alone under ``heading`` of the first.
    """
    heading, *records = _records(csv.render(report))
    found: list[dict[str, object]] = []
    place = 0
    for group in report.groups:
        for block in group.blocks:
            alone = replace(report, groups=(replace(group, blocks=(block,)),), damaged=())
            ends = place + len(block.rows)
            found.append(
                {
                    "rows": [line.id for line in lines[place:ends]],
                    "heading": heading,
                    "csv": "".join(records[place:ends]),
                    "latex": paper.render(alone),
                    "markdown": markdown.render(alone, legend=False),
                }
            )
            place = ends
    return found


def of_part(ids: Sequence[str], whole: Sheet, printed: Sheet) -> dict[str, object]:
    """One entry as `of_blocks` has them.

    Args:
        ids: of the rows.
        whole: of them, for CSV.
        printed: of them, for LaTeX and Markdown.
    """
    heading, *records = _records(as_csv([whole]))
    return {
        "rows": ids,
        "heading": heading,
        "csv": "".join(records),
        "latex": fragment([printed]),
        "markdown": as_markdown([printed]),
    }


def of_sheet(sheet: Sheet) -> dict[str, str]:
    """The sheet in each form."""
    return {form: RENDERERS[form]([sheet]) for form in FORMS}


def _records(text: str) -> list[str]:
    """The records of a CSV as text: a field may hold the end of a line."""
    found = []
    for record in reading.reader(io.StringIO(text, newline="")):
        line = io.StringIO()
        reading.writer(line, lineterminator="\n").writerow(record)
        found.append(line.getvalue())
    return found
