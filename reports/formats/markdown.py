"""Tables in GitHub's Markdown, also fit to be read in a terminal of 160 columns."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tabulate import tabulate

from bench.reports.columns import NOT_AVAILABLE, QUALITY, Column
from bench.reports.formats import layout
from bench.reports.tables import Block, Group, Report

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_ARROWS = {"up": "↑ ", "down": "↓ ", "none": ""}


def render(report: Report) -> str:
    """All groups, each base with a table of each kind, then the legend."""
    parts = [_group(group, report) for group in report.groups]
    for section in report.sections():
        lines = (f"- {_STYLE.plain(line)}" for line in section.legend)
        parts.append("\n".join([f"**{section.title}**", "", *lines]))
    return "\n\n".join(parts) + "\n"


class _Markdown:
    def plain(self, text: str) -> str:
        # "<" opens a tag only before a letter or a slash; "<0.001" stays readable.
        return re.sub(r"([\\|*`]|<(?=[A-Za-z/!?]))", r"\\\1", " ".join(text.split()))

    def bold(self, text: str) -> str:
        return f"**{text}**"

    def name(self, refiner: str, *, oracle: bool, contaminated: bool, marks: Sequence[int]) -> str:
        daggers = [mark for mark, shown in (("†", oracle), ("‡", contaminated)) if shown]
        return " ".join([self.plain(refiner), *daggers, *(_superscript(mark) for mark in marks)])

    def gain(self, arrow: layout.Arrow, size: str, interval: tuple[str, str] | None) -> str:
        return f"{_ARROWS[arrow]}{size} [{','.join(interval) if interval else NOT_AVAILABLE}]"


_STYLE = _Markdown()


def _superscript(number: int) -> str:
    return str(number).translate(_SUPERSCRIPTS)


def _group(group: Group, report: Report) -> str:
    parts = [f"## {_STYLE.plain(group.title)}", _STYLE.plain("; ".join(group.remarks)) + "."]
    names = layout.names(group, _STYLE)
    for block in group.blocks:
        parts.append(f"### {_STYLE.plain(block.base)}")
        parts += [_table(block, section.columns, names, report.baseline) for section in report.sections(group)]
    notes = [f"{_superscript(number)} {_STYLE.plain(note)}" for number, note in enumerate(group.notes, start=1)]
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
    lines = tabulate(rows, ["Refiner", *headings], "github", colalign=align, disable_numparse=True).splitlines()
    for index, row in enumerate(block.rows, start=2):
        if row.status != "done":
            # One cell in place of all: shorter rows are valid, and a long message does not widen a column.
            label = lines[index][: lines[index].index(" |", 2)]
            lines[index] = f"{label} | {_STYLE.plain(row.problem if QUALITY[0] in columns else row.status)} |"
    return "\n".join(lines)
