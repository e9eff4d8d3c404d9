"""What the main table shows: the cells of the Markdown report, and the numbers that they are sorted by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from markupsafe import Markup

from bench.metrics.columns import CostFacts
from bench.reports.columns import COST, QUALITY, Column
from bench.reports.formats import layout
from bench.reports.formats.flat import KEYS
from bench.reports.page.content import Heading, Shown
from bench.reports.page.lines import Line
from bench.reports.rows import Row
from bench.reports.statistics import Gain
from bench.reports.tables import Report

_IOU, _SECONDS = QUALITY[0], COST[0]


class _Html(layout.Signs):
    def bold(self, text: str) -> str:
        return Markup("<strong>{}</strong>").format(text)


_STYLE = _Html()


def headings(report: Report) -> list[Heading]:
    """Of the columns of numbers, section by section."""
    found = []
    for section in report.sections():
        for column in section.columns:
            keys = [column.key, *((f"{column.key}_gain", f"{column.key}_share") if column.gain else ())]
            lower = column.better == "lower" or section.title == "Cost"
            for key, title in zip(keys, layout.headings([column]), strict=True):
                worse = key.endswith("_share") and column.gain == "lost"
                found.append(Heading(key, title, KEYS[section.title], worse or (lower and key == column.key)))
    return found


def shown(line: Line, report: Report) -> list[Shown]:
    """The cells of a finished row, one for each of `headings`."""
    found = []
    of_group = report.sections(line.group)
    here = {column.key for section in of_group for column in section.columns}
    for section in report.sections():
        for column in section.columns:
            if column.key not in here:  # of an oracle that other datasets have
                found.append(Shown("", None))
                continue
            texts = layout.numbers(line.row, line.block, [column], report.baseline, _STYLE)
            found += map(Shown, texts, _values(line.row, column))
    return found


def names(lines: Sequence[Line]) -> dict[str, str]:
    """By id, what stands in the name column: with daggers and the numbers of footnotes."""
    groups = {id(line.group): line.group for line in lines}
    found = {key: layout.names(group, _STYLE) for key, group in groups.items()}
    return {line.id: found[id(line.group)][line.block.base, line.row.refiner] for line in lines}


def facts(line: Line, memory: CostFacts) -> dict[str, Any]:
    """What the filters and the plots know of a row."""
    before = line.baseline and line.baseline.values.get(_IOU.key)
    seconds = line.row.values.get(_SECONDS.key)
    return {
        "id": line.id,
        "dataset": line.group.title,
        "base": line.block.base,
        "refiner": line.row.marked,
        "oracle": line.row.oracle,
        "before": before,
        "after": line.row.values.get(_IOU.key),
        "change": of_gain(line.row.gains.get(_IOU.key)),
        "x": {"seconds": seconds, "memory": line.row.values.get(memory.key), "quality": before and _IOU.scale * before},
        "said": "" if seconds is None else f"{_SECONDS.text(seconds)} s an image",
    }


def of_gain(gain: Gain | None) -> dict[str, float | None] | None:
    """A change in mIoU as a plot has it."""
    return None if gain is None else {"mean": gain.mean, "low": gain.low, "high": gain.high}


def _values(row: Row, column: Column) -> Iterator[float | None]:
    yield row.values.get(column.key)
    if column.gain:
        gain = row.gains.get(column.key)
        yield None if gain is None else gain.mean
        yield None if gain is None else gain.wins if column.gain == "W/T/L" else gain.lost
