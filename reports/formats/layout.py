"""From rows to the text of table cells, the same for every format; a style says how a format writes it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

from bench.redaction import printable
from bench.reports.columns import NOT_AVAILABLE, Column
from bench.reports.rows import Row
from bench.reports.statistics import FEW_MARK, points
from bench.reports.tables import Block, Group

LONG_NAME = 40
"""Characters. Longer variant names lose the folders of the paths in them."""

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")

Arrow = Literal["up", "down", "none"]
_ARROWS: dict[Arrow, str] = {"up": "↑ ", "down": "↓ ", "none": ""}


class Style(Protocol):
    """How a format writes what needs markup."""

    def plain(self, text: str) -> str:
        """Text with the format's special characters escaped."""
        ...

    def bold(self, text: str) -> str: ...

    def name(self, refiner: str, *, oracle: bool, contaminated: bool, marks: Sequence[int]) -> str:
        """A refiner's name with a dagger for an oracle, a double one for contamination, and its footnote numbers."""
        ...

    def gain(self, arrow: Arrow, size: str, interval: tuple[str, str] | None, *, few: bool) -> str:
        """``size`` is unsigned; the interval's ends are signed; ``few`` marks it, see `Gain.few`."""
        ...


class Signs:
    """The signs that Unicode has for arrows, daggers and footnotes; a format adds how it escapes, and its bold."""

    def plain(self, text: str) -> str:
        return printable(text)

    def bold(self, text: str) -> str:
        return text

    def name(self, refiner: str, *, oracle: bool, contaminated: bool, marks: Sequence[int]) -> str:
        daggers = [mark for mark, shown in (("†", oracle), ("‡", contaminated)) if shown]
        return " ".join([self.plain(refiner), *daggers, *(superscript(mark) for mark in marks)])

    def gain(self, arrow: Arrow, size: str, interval: tuple[str, str] | None, *, few: bool) -> str:
        mark = FEW_MARK if few else ""
        return f"{_ARROWS[arrow]}{size} {mark}[{','.join(interval) if interval else NOT_AVAILABLE}]"


def headings(columns: Iterable[Column]) -> list[str]:
    """Headings of the number columns, unescaped."""
    found = []
    for column in columns:
        found.append(column.title)
        if column.gain:
            name = column.title.split()[0]
            found += [f"{name} gain", column.gain if column.gain == "W/T/L" else f"{column.gain} ({name})"]
    return found


def numbers(row: Row, block: Block, columns: Iterable[Column], baseline: str, style: Style) -> list[str]:
    """The number cells of a finished row, one for each of `headings`."""
    found = []
    for column in columns:
        text = style.plain(column.text(row.values.get(column.key)))
        found.append(style.bold(text) if row.refiner == block.best(column) else text)
        if column.gain:
            found += [style.plain("-")] * 2 if row.refiner == baseline else gain_cells(row, column, style)
    return found


def names(group: Group, style: Style) -> dict[tuple[str, str], str]:
    """What stands in the name column, by (base, refiner)."""
    rows = [row for block in group.blocks for row in block.rows]
    short = shortened([row.refiner for row in rows])
    return {
        (row.base, row.refiner): style.name(
            short[row.refiner], oracle=row.oracle, contaminated=bool(row.contaminated), marks=group.marks(row)
        )
        for row in rows
    }


def shortened(names: Iterable[str]) -> dict[str, str]:
    """Long names without the folders of the paths in them, where that leaves them distinct."""
    short = {name: without_folders(name) if len(name) > LONG_NAME else name for name in names}
    taken = Counter(short.values())
    return {name: label if taken[label] == 1 else name for name, label in short.items()}


def without_folders(name: str, mark: str = "…") -> str:
    """The name with ``mark`` in place of the folders of the paths in it."""
    return re.sub(r"=[^,\]=]*/([^,\]/]+)", rf"={mark}/\1", name)


def superscript(number: int) -> str:
    """A footnote's number."""
    return str(number).translate(_SUPERSCRIPTS)


def gain_cells(row: Row, column: Column, style: Style) -> list[str]:
    """What stands beside a value: its gain over the base, and the images won and lost."""
    gain = row.gains.get(column.key)
    if gain is None:
        return [NOT_AVAILABLE, NOT_AVAILABLE]
    size = f"{abs(gain.mean) * 100:.1f}"
    arrow: Arrow = "none" if float(size) == 0 else "up" if gain.mean > 0 else "down"
    interval = None if gain.low is None or gain.high is None else (points(gain.low), points(gain.high))
    share = f"{gain.wins}/{gain.ties}/{gain.losses}" if column.gain == "W/T/L" else f"{gain.lost * 100:.0f} %"
    return [style.gain(arrow, size, interval, few=gain.few), style.plain(share)]
