"""Tables in GitHub's Markdown, also fit to be read in a terminal of 160 columns."""

from __future__ import annotations

import re
from collections.abc import Sequence

import tabulate

from bench.redaction import printable
from bench.reports.columns import QUALITY, Column
from bench.reports.formats import layout
from bench.reports.tables import Block, Group, Report
from bench.reports.verdict import visible

tabulate.MIN_PADDING = 0  # it makes a column wider than its heading, and 160 columns are few


def render(report: Report, *, legend: bool = True) -> str:
    """All groups, each base with a table of each kind, then the legend unless it is not wanted."""
    parts = [_group(group, report) for group in report.groups]
    for section in report.sections() if legend else ():
        lines = (f"- {plain(line)}" for line in section.legend)
        parts.append("\n".join([f"**{section.title}**", "", *lines]))
    if report.damaged:
        parts.append("\n".join(["**Damaged, left out**", "", *(f"- {plain(line)}" for line in report.damaged)]))
    return "\n\n".join(parts) + "\n"


def plain(text: str) -> str:
    """Text that Markdown prints as it stands."""
    # "<" opens a tag only before a letter or a slash; "<0.001" stays readable. So do brackets, which make a link
    # or fetch a picture only with what follows.
    return re.sub(r"([\\|*`]|<(?=[A-Za-z/!?])|(?<=\])[(\[])", r"\\\1", printable(text))


class _Markdown(layout.Signs):
    def plain(self, text: str) -> str:
        return plain(text)

    def bold(self, text: str) -> str:
        return f"**{text}**"


_STYLE = _Markdown()


def _group(group: Group, report: Report) -> str:
    parts = [f"## {plain(group.title)}", plain(group.caption) + "."]
    names = layout.names(group, _STYLE)
    for block in group.blocks:
        parts.append(f"### {plain(block.base)}")
        parts += [_table(block, section.columns, names, report.baseline) for section in report.sections(group)]
        if seen := visible(block):
            parts.append(plain(seen))
    notes = [f"{layout.superscript(number)} {plain(note)}" for number, note in enumerate(group.notes, start=1)]
    if notes:
        parts.append("  \n".join(notes))  # two blanks: a line break, not a new paragraph
    return "\n\n".join(parts)


def _table(block: Block, columns: Sequence[Column], names: dict[tuple[str, str], str], baseline: str) -> str:
    headings = layout.headings(columns)
    rows = []
    for row in block.rows:
        done = row.status == "done"
        cells = layout.numbers(row, block, columns, baseline, _STYLE) if done else [""] * len(headings)
        rows.append([names[row.base, row.refiner], *cells])
    align = ["left", *["right"] * len(headings)]
    lines = tabulate.tabulate(
        rows, ["Refiner", *headings], "github", colalign=align, disable_numparse=True
    ).splitlines()
    for index, row in enumerate(block.rows, start=2):
        if row.status != "done":
            # One cell in place of all: shorter rows are valid, and a long message does not widen a column.
            label = lines[index][: lines[index].index(" |", 2)]
            lines[index] = f"{label} | {plain(row.problem if QUALITY[0] in columns else row.status)} |"
    return "\n".join(lines)
