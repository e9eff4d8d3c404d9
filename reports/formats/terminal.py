"""The short tables of a terminal: best first, the answer under each, nothing wider than the screen.

One layout serves both: lines of rich text, which a terminal shows in bold and colour, and whose plain text is what goes
into a pipe. Colour says nothing that the signs, the order and the intervals do not say.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.text import Text

from bench.reports import legend
from bench.reports.columns import COST, NOT_AVAILABLE, QUALITY, Column
from bench.reports.formats.layout import superscript, without_folders
from bench.reports.rows import Row
from bench.reports.statistics import Gain
from bench.reports.tables import Block, Group, Report
from bench.reports.verdict import interval, verdict, visible
from bench.runtime.brackets import pieces
from bench.store import SEQUENCE

WIDTH = 80
"""Columns of the screen where nothing else is known, and the fewest that tables are made for."""

GAP = 2
NAMES = 8, 40
"""The fewest and the most columns that names get; past the most a wider screen has more numbers to show."""

CUT = ".."
"""In place of what a name lost: two characters in any encoding."""

BASE = "the base"
"""In place of the baseline's gain over itself."""

_STEERING = dict.fromkeys((*range(32), *range(127, 160)), "?")
"""Control characters, which a name may hold and a terminal would obey."""

_ALL = {column.key: column for column in (*QUALITY, *COST)}
_MIOU, _BOUNDARY = _ALL["iou"], _ALL["boundary_iou"]
_SECONDS = replace(_ALL["seconds"], title="s/image")
_RSS, _GPU = _ALL["peak_rss_mb"], replace(_ALL["peak_gpu_mb"], title="GPU MB")


@dataclass(frozen=True, eq=False)
class Measure:
    """One column of the screen.

    Attributes:
        heading: over it.
        column: whose value, gain or share it shows.
        part: which of them.
    """

    heading: str
    column: Column
    part: str = "value"


def render(report: Report) -> str:
    """The tables of `WIDTH` columns without colour and without a legend."""
    return text(report).plain + "\n"


def text(report: Report, *, width: int = WIDTH, explained: bool = False) -> Text:
    """The tables.

    Args:
        width: columns of the screen; below `WIDTH` it is that. A wider one gets longer names, then more columns.
        explained: with the legend at the end.
    """
    screen = _Screen(report, max(width, WIDTH))
    lines = [line for group in report.groups for line in screen.group(group)]
    if explained:
        lines += screen.legend()
    while lines and not lines[-1].plain:
        lines.pop()
    for line in lines:
        line.plain = line.plain.translate(_STEERING)  # one for one: widths stay
    return Text("\n").join(lines)


class _Screen:
    """The layout that all tables of a report share, so that their columns stand below one another."""

    def __init__(self, report: Report, width: int) -> None:
        self.report, self.width = report, width
        rows = [row for group in report.groups for block in group.blocks for row in block.rows]
        suffixes = {len(_suffix(group, row)) for group in report.groups for block in group.blocks for row in block.rows}
        suffix = max(suffixes, default=0)
        self._widths: dict[Measure, int] = {}
        longest = max((cell_len(row.refiner) for row in rows), default=0) + suffix
        self.measures = _first(rows)
        for more in _further(rows):
            if width - self._width([*self.measures, more]) < min(longest, NAMES[1] + suffix):
                break
            self.measures.append(more)
        room = width - self._width(self.measures) - suffix
        self.labels = fitted([row.refiner for row in rows], min(max(room, NAMES[0]), NAMES[1]))
        self.name_width = max([len("refiner"), *(cell_len(self.labels[row.refiner]) + suffix for row in rows)])
        self.renamed = {name: short for name, short in self.labels.items() if short != name}

    def group(self, group: Group) -> Iterator[Text]:
        """Its heading, each base's table with its verdict, and the footnotes."""
        yield from self._wrapped(group.title, style="bold underline")
        yield from self._wrapped("; ".join(group.remarks) + ".", style="dim")
        for block in group.blocks:
            yield Text()
            yield from self._wrapped(block.base, style="bold")
            yield self._heading()
            yield from self._rows(group, block)
            yield Text()
            yield from self._wrapped(verdict(block, self.report.baseline, self.labels), style="bold")
            yield from self._wrapped(visible(block), style="dim")
        yield Text()
        notes = [f"{superscript(number)} {note}." for number, note in enumerate(group.notes, start=1)]
        own = {row.refiner for block in group.blocks for row in block.rows}
        notes += [f"{short} is {name}" for name, short in self.renamed.items() if name in own]
        for note in notes:
            yield from self._wrapped(note, style="dim")
        if notes:
            yield Text()

    def legend(self) -> Iterator[Text]:
        """What the columns mean, and on what the groups were measured."""
        shown = list({measure.column.key: measure.column for measure in self.measures}.values())
        quality = [column for column in shown if column.key in {each.key for each in QUALITY}]
        rows = [row for group in self.report.groups for block in group.blocks for row in block.rows]
        marked = any(row.contaminated for row in rows)
        lines = [
            *legend.of_quality(quality, self.report.baseline, contaminated=marked),
            *legend.of_cost([column for column in shown if column not in quality]),
            *(f"{group.title}: {'; '.join(group.origin)}." for group in self.report.groups if group.origin),
        ]
        for line in lines:
            yield from self._wrapped(line)

    def _width(self, measures: Sequence[Measure]) -> int:
        """Of the number columns with the gaps before them."""
        return sum(self._column_width(measure) + GAP for measure in measures)

    def _column_width(self, measure: Measure) -> int:
        if measure not in self._widths:
            rows = (row for _, block in self.report.blocks for row in block.rows if row.status == "done")
            self._widths[measure] = max(len(measure.heading), *(len(self._text(row, measure)) for row in rows), 0)
        return self._widths[measure]

    def _text(self, row: Row, measure: Measure) -> str:
        column = measure.column
        if measure.part == "value":
            return column.text(row.values.get(column.key))
        if row.refiner == self.report.baseline:
            return BASE if measure.part == "gain" else "-"
        gain = row.gains.get(column.key)
        if gain is None:
            return NOT_AVAILABLE
        if measure.part == "gain":
            return interval(gain)
        if measure.part == "lost":
            return f"{gain.lost * 100:.0f} %"
        return f"{gain.wins}/{gain.ties}/{gain.losses}"

    def _style(self, row: Row, block: Block, measure: Measure) -> str:
        if measure.part == "value":
            return "bold" if row.refiner == block.best(measure.column) else ""
        gain = row.gains.get(measure.column.key)
        return _colour(gain) if measure.part == "gain" and gain and row.refiner != self.report.baseline else ""

    def _heading(self) -> Text:
        parts = ["refiner".ljust(self.name_width)]
        parts += [measure.heading.rjust(self._column_width(measure)) for measure in self.measures]
        return Text((" " * GAP).join(parts), style="dim")

    def _rows(self, group: Group, block: Block) -> Iterator[Text]:
        rows = ordered(block, self.report.baseline)
        for before, row in zip((None, *rows), rows, strict=False):
            if row.oracle and before is not None and not before.oracle:
                yield Text()
            name = self.labels[row.refiner] + _suffix(group, row)
            name += " " * (self.name_width - cell_len(name))
            if row.status != "done":
                room = max(self.width - self.name_width - GAP, NAMES[1])
                first, *rest = textwrap.wrap(row.problem, room) or [""]
                yield Text(f"{name}{' ' * GAP}{first}", style="dim")
                for line in rest:
                    yield Text(" " * (self.name_width + GAP) + line, style="dim")
                continue
            shown = Text(name, style="dim" if row.oracle else "")
            for measure in self.measures:
                text = self._text(row, measure)
                shown.append(" " * (GAP + self._column_width(measure) - len(text)))
                shown.append(text, style=self._style(row, block, measure))
            yield shown

    def _wrapped(self, line: str, style: str = "") -> Iterator[Text]:
        for part in textwrap.wrap(" ".join(line.split()), self.width, break_on_hyphens=False):
            yield Text(part, style=style)


def ordered(block: Block, baseline: str) -> list[Row]:
    """Best gain first, the baseline at its place among them; then what has no gain; oracles last."""

    def place(row: Row) -> tuple[bool, bool, float, bool]:
        gain = row.gains.get(_MIOU.key)
        known = gain is not None or (row.refiner == baseline and row.status == "done")
        return row.oracle, not known, -(gain.mean if gain is not None else 0.0), row.refiner != baseline

    return sorted(block.rows, key=place)


def fitted(names: Iterable[str], width: int) -> dict[str, str]:
    """Each name in ``width`` columns, all of them distinct.

    A longer one loses the folders of its paths, then the parameters that all of its plug-in's names share, then its
    middle.

    >>> list(fitted(["prn[size=256,epochs=40,patch=16]", "prn[size=256,epochs=40,patch=32]", "crf"], 20).values())
    ['prn[patch=16,..]', 'prn[patch=32,..]', 'crf']
    >>> list(fitted(["prn[size=256,epochs=40]+crf", "crf+prn[size=256]"], 20).values())
    ['prn[..]+crf', 'crf+prn[size=256]']
    """
    all_names = list(dict.fromkeys(names))
    found = {name: name for name in all_names if cell_len(name) <= width}
    taken, family = set(found), _Families(all_names)
    numbers: dict[str, int] = {}
    for name in all_names:
        if name not in found:
            parts = _sequence(name)
            telling = SEQUENCE.join(map(_bare, parts)) if len(parts) > 1 else family.telling(name, width)
            forms = (without_folders(name, CUT), telling)
            short = next((form for form in forms if cell_len(form) <= width and form not in taken), None)
            found[name] = short or _middle_cut(forms[-1], width, taken, numbers)
            taken.add(found[name])
    return {name: found[name] for name in all_names}


class _Families:
    """Names by their plug-in: in how many of them a parameter is."""

    def __init__(self, names: Sequence[str]) -> None:
        self._sizes: Counter[str] = Counter()
        self._counts: Counter[tuple[str, str]] = Counter()
        for head, parameters in map(_parts, names):
            self._sizes[head] += 1
            self._counts.update((head, each) for each in set(parameters))

    def telling(self, name: str, width: int) -> str:
        """The name with the parameters that tell it from the others of its plug-in, and more of them where they fit."""
        head, parameters = _parts(name)
        differ = [each for each in parameters if self._counts[head, each] < self._sizes[head]]
        for each in parameters:
            longer = f"{head}[{','.join([*differ, each, CUT])}]"
            if each not in differ and len(longer) <= width:
                differ.append(each)
        kept = [each for each in parameters if each in differ]
        return f"{head}[{','.join(kept if len(kept) == len(parameters) else [*kept, CUT])}]" if parameters else head


def _sequence(name: str) -> list[str]:
    """The refiners that are applied one after the other."""
    try:
        return pieces(name, SEQUENCE)
    except ValueError:  # a path may hold a quote
        return [name]


def _bare(name: str) -> str:
    head, parameters = _parts(name)
    return f"{head}[{CUT}]" if parameters else head


def _parts(name: str) -> tuple[str, list[str]]:
    match = re.fullmatch(r"([^\[]+)\[(.*)\]", without_folders(name, CUT))
    if match is None:
        return name, []
    try:
        return match[1], pieces(match[2])
    except ValueError:  # a path may hold a quote
        return match[1], [match[2]]


def _middle_cut(name: str, width: int, taken: Container[str], numbers: dict[str, int]) -> str:
    """Its ends; a number in place of the last one where that is not distinct.

    Args:
        taken: what others are called.
        numbers: by their beginnings, the last number of those that were cut before.
    """
    tail = width // 3
    short = f"{name[: width - tail - len(CUT)]}{CUT}{name[-tail:]}"
    begins = name[: width - len(CUT) - 1]
    while short in taken:
        numbers[begins] = numbers.get(begins, 1) + 1
        end = f"{CUT}{numbers[begins]}"
        short = name[: width - len(end)] + end
    return short


def _first(rows: Sequence[Row]) -> list[Measure]:
    """The columns that every screen shows. Of memory that of the GPU, where one was used."""
    memory = _GPU if any((row.values.get(_GPU.key) or 0) > 0 for row in rows) else _RSS
    return [
        Measure("mIoU", _MIOU),
        Measure("gain [95 % interval]", _MIOU, "gain"),
        Measure("W/T/L", _MIOU, "W/T/L"),
        Measure(_SECONDS.title, _SECONDS),
        Measure(memory.title, memory),
    ]


def _further(rows: Sequence[Row]) -> list[Measure]:
    """The columns that a wider screen shows, too, in the order that they are wanted in."""
    boundary = _BOUNDARY.title.split()[0]
    columns = [
        Measure(f"{boundary} gain", _BOUNDARY, "gain"),
        Measure(f"lost ({boundary})", _BOUNDARY, "lost"),
        Measure(_ALL["fit_seconds"].title, _ALL["fit_seconds"]),
    ]
    return columns if any(_BOUNDARY.key in row.gains for row in rows) else columns[2:]


def _suffix(group: Group, row: Row) -> str:
    """A dagger for an oracle, a double one for contamination, and the numbers of the footnotes."""
    daggers = [mark for mark, shown in (("†", row.oracle), ("‡", bool(row.contaminated))) if shown]
    marks = [*daggers, *(superscript(mark) for mark in group.marks(row))]
    return f" {' '.join(marks)}" if marks else ""


def _colour(gain: Gain) -> str:
    if gain.low is None or gain.high is None:
        return ""
    return "green" if gain.low > 0 else "red" if gain.high < 0 else ""
