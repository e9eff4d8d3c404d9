r"""Tables to ``\input`` into a paper: one for each dataset and base, with the columns that a paper shows."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.redaction import printable
from bench.reports import captions
from bench.reports.columns import NOT_AVAILABLE, QUALITY, Column
from bench.reports.formats.latex import escape, fitting
from bench.reports.formats.terminal import fitted
from bench.reports.pairs import GAINS
from bench.reports.resampling import CONFIDENCE
from bench.reports.rows import Row
from bench.reports.statistics import FEW, FEW_MARK, points
from bench.reports.tables import Block, Group, Report
from bench.runtime.environment import DISTRIBUTION, version_of

SHOWN = ("iou", "boundary_iou", "mae")
"""The built-in metrics of the tables; those of plug-ins follow them."""

WITH_INTERVAL = "iou"
"""The metric whose gain stands with its interval."""

NAME_WIDTH = 22
"""Characters. A longer name is cut as on the screen, and a comment gives it in full."""

_BETTER = {"higher": r" $\uparrow$", "lower": r" $\downarrow$", None: ""}
_NUMBER = re.compile(r"([+-]?)(\d+)(?:\.(\d+))?")


def render(report: Report, *, siunitx: bool = False, command: str = "") -> str:
    r"""A fragment without a document around it; it has no date and no machine in it.

    Only finished rows stand in the tables. The notes on single rows, and the rows that are left out, are comments
    before each table.

    Args:
        siunitx: numbers in ``S`` columns, aligned at their points, else in right-aligned ones.
        command: what made it, for the comment on top.
    """
    program = f"{DISTRIBUTION} {version_of(DISTRIBUTION)}".strip()
    made = f"made by {program}: {command}" if command else f"made by {program}"
    packages = "booktabs, graphicx, siunitx (version 3)" if siunitx else "booktabs, graphicx"
    tables = [(group, block) for group, block in report.blocks if _finished(block)]
    labels = _labels([(_slug(group, block), f"{group.title}\0{block.base}") for group, block in tables])
    parts = [f"{_comment(made)}{_comment(f'packages: {packages}')}"]
    for (group, block), label in zip(tables, labels, strict=True):
        known = {key for row in block.rows for key, value in row.values.items() if value is not None}
        more = [column for column in report.plugged_in if column.key in known]
        columns = [*(column for column in QUALITY if column.key in SHOWN), *more]
        parts.append(_table(_Table(group, block, columns, report.baseline, siunitx), label))
    return "\n".join(parts)


@dataclass(frozen=True)
class _Cell:
    text: str
    bold: bool = False


@dataclass(frozen=True)
class _Table:
    group: Group
    block: Block
    columns: Sequence[Column]
    baseline: str
    siunitx: bool

    @cached_property
    def rows(self) -> list[Row]:
        return _finished(self.block)

    @cached_property
    def names(self) -> dict[str, str]:
        """The refiners as they stand in the table."""
        return fitted([row.refiner for row in self.rows], NAME_WIDTH)

    @cached_property
    def _seeds(self) -> set[int]:
        return {seed for row in self.rows for seed in row.seeds}

    @cached_property
    def _most(self) -> int:
        return max(row.images for row in self.rows)

    def odd(self, row: Row) -> bool:
        """It lacks images or seeds that others of the table have."""
        fewest = min([row.images, *(gain.images for key, gain in row.gains.items() if key in SHOWN)])
        return set(row.seeds) != self._seeds or fewest < self._most


def _table(table: _Table, label: str) -> str:
    block = table.block
    notes = [f"{short} is {name}" for name, short in table.names.items() if short != name]
    notes += [f"{row.refiner}: {note}" for row in block.rows for note in row.notes]
    notes += [f"left out: {row.refiner}, {row.problem}" for row in block.rows if row.status != "done"]
    return "".join(
        [
            *map(_comment, notes),
            "\\begin{table}[t]\n\\centering\n\\small\n\\setlength{\\tabcolsep}{4pt}\n",
            f"\\caption{{{escape(_caption(table))}}}\n\\label{{{label}}}\n\\smallskip\n",
            # Both versions of siunitx know detect-weight: what is bold around a number makes its digits bold.
            "\\sisetup{detect-weight=true, retain-explicit-plus=true}\n" if table.siunitx else "",
            f"{fitting(_tabular(table))}\n\\end{{table}}\n",
        ]
    )


def _caption(table: _Table) -> str:
    group, rows = table.group, table.rows
    measured = [
        captions.images(rows),
        *map(captions.partial, group.copies),
        captions.protocol(group.place.rules, group.place.protocol),
        captions.seeds(rows),
    ]
    few = any(row.gains[WITH_INTERVAL].few for row in rows if WITH_INTERVAL in row.gains)
    percent = [column.title for column in table.columns if column.scale == 100]
    said = [
        f"Refinement of {table.block.base} on {group.title}: {'; '.join(filter(None, measured))}",
        f"{captions.listed(percent)} in percent; gains over the base's own maps in percent points, "
        f"with the {CONFIDENCE:.0%} bootstrap interval of the paired difference".replace("%", " %"),
        *([f"{FEW_MARK}: of fewer than {FEW} images, where it covers less"] if few else []),
        "Bold: best, where the paired differences to all others have intervals that exclude zero",
        *(["†: sees the ground truth"] if any(row.oracle for row in rows) else []),
        *(["‡: public weights were trained on images of this set"] if any(row.contaminated for row in rows) else []),
        *(["§: fewer images or seeds than other rows"] if any(map(table.odd, rows)) else []),
    ]
    return ". ".join(said) + "."


def _tabular(table: _Table) -> str:
    headings = [title for column in table.columns for title in _headings(column)]
    cells = [[cell for column in table.columns for cell in _cells(row, column, table)] for row in table.rows]
    kinds = [
        _kind([row[place] for row in cells]) if table.siunitx and not heading.startswith("[") else "r"
        for place, heading in enumerate(headings)
    ]
    titles = [f"{{{heading}}}" if table.siunitx else heading for heading in headings]
    lines = [f"\\begin{{tabular}}{{@{{}}l{''.join(kinds)}@{{}}}}", r"\toprule", f"Refiner & {' & '.join(titles)} \\\\"]
    before: Row | None = None
    for row, own in zip(table.rows, cells, strict=True):
        if before is None or (row.oracle and not before.oracle):
            lines.append(r"\midrule")
        marks = {"†": row.oracle, "‡": bool(row.contaminated), "§": table.odd(row)}
        name = escape(table.names[row.refiner]) + "".join(
            rf"\,{escape(mark)}" for mark, shown in marks.items() if shown
        )
        written = [_written(cell, kind) for cell, kind in zip(own, kinds, strict=True)]
        lines.append(f"{name} & {' & '.join(written)} \\\\")
        before = row
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _headings(column: Column) -> Iterator[str]:
    yield escape(column.title) + _BETTER[column.better]
    if column in GAINS:
        yield "gain"
    if column.key == WITH_INTERVAL:
        yield f"[{CONFIDENCE * 100:.0f}\\,\\%]"


def _cells(row: Row, column: Column, table: _Table) -> Iterator[_Cell]:
    """What stands under `_headings`: numbers as text, or LaTeX."""
    yield _Cell(column.text(row.values.get(column.key)), bold=row.refiner == table.block.best(column))
    gain = row.gains.get(column.key)
    none = "--" if row.refiner == table.baseline else NOT_AVAILABLE
    if column in GAINS:
        yield _Cell(none if gain is None else points(gain.mean))
    if column.key == WITH_INTERVAL:
        if gain is None or gain.low is None or gain.high is None:
            yield _Cell(none)
        else:
            mark = r"\sim" if gain.few else ""
            yield _Cell(rf"\scriptsize${mark}[{points(gain.low)},\,{points(gain.high)}]$")


def _written(cell: _Cell, kind: str) -> str:
    number = _NUMBER.fullmatch(cell.text)
    if kind != "r":
        text = cell.text if number else f"{{{_plain(cell.text)}}}"
        return rf"\bfseries {text}" if cell.bold else text
    if number and number[1]:
        return rf"$\mathbf{{{cell.text}}}$" if cell.bold else f"${cell.text}$"
    return rf"\textbf{{{_plain(cell.text)}}}" if cell.bold else _plain(cell.text)


def _plain(text: str) -> str:
    """Text that is no number: a dash, an interval in LaTeX, or words to be escaped."""
    return text if text == "--" or text.startswith("\\scriptsize") else escape(text)


def _kind(cells: Sequence[_Cell]) -> str:
    """The S column that holds the numbers: their most digits before and after the point, and a sign if one has one."""
    numbers = [found for cell in cells if (found := _NUMBER.fullmatch(cell.text))]
    sign = "+" if any(found[1] for found in numbers) else ""
    before = max((len(found[2]) for found in numbers), default=1)
    after = max((len(found[3] or "") for found in numbers), default=0)
    return f"S[table-format={sign}{before}.{after}]"


def _finished(block: Block) -> list[Row]:
    return [row for row in block.rows if row.status == "done"]


def _comment(text: str) -> str:
    return f"% {printable(text)}\n".encode("ascii", "backslashreplace").decode()


def _slug(group: Group, block: Block) -> str:
    """Dataset, base and what else sets the table apart in ASCII, for its label."""
    limit = "" if group.place.limit is None else f"-{group.place.limit}"
    protocol = "" if group.place.protocol == "A" else f"-{group.place.protocol}"
    return re.sub(r"[^a-z0-9]+", "-", f"{group.place.dataset}{limit}{protocol}-{block.base}".lower()).strip("-")


def _labels(tables: Sequence[tuple[str, str]]) -> list[str]:
    """Of two tables whose slugs are alike, each has a hash of its names in its label."""
    counts = Counter(slug for slug, _ in tables)
    hashes = (hashlib.blake2b(names.encode(), digest_size=4).hexdigest() for _, names in tables)
    return [
        f"tab:{slug}" if counts[slug] == 1 else f"tab:{slug}-{digest}"
        for (slug, _), digest in zip(tables, hashes, strict=True)
    ]
