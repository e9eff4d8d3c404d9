"""A table beside the main ones: columns, rows of raw values, and what a reader has to know about them.

What a report says beyond `bench.reports.tables` (tests, strata, bias, published values) is made as sheets, so that
every format writes all of it in one way (`bench.reports.formats.sheets`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Value: TypeAlias = str | int | float | None
"""Of one table cell; None is undefined, or was not measured."""

UNKNOWN = "n/a"


@dataclass(frozen=True, kw_only=True)
class Field:
    """One column of a sheet.

    Attributes:
        key: its name in CSV, JSON and data frames.
        title: its heading.
        meaning: what it is, a sentence without its full stop; "" where the heading says it.
        digits: after the point; None where the column holds text.
        scale: what a value is multiplied by where it is shown: 100 for fractions shown in points. Files of raw numbers
            (CSV, JSON) hold it unscaled.
        signed: shown with its sign, zero without.
        unit: printed after the number.
    """

    key: str
    title: str
    meaning: str = ""
    digits: int | None = None
    scale: float = 1
    signed: bool = False
    unit: str = ""

    def text(self, value: Value) -> str:
        """The value as shown; ``n/a`` for None; ``<0.001`` for what is above zero and would read as zero.

        >>> gain = Field(key="gain", title="gain", digits=1, scale=100, signed=True)
        >>> p = Field(key="p", title="p", digits=3)
        >>> gain.text(0.0123), gain.text(-0.0001), p.text(0.00002), p.text(None)
        ('+1.2', '0.0', '<0.001', 'n/a')
        """
        if value is None:
            return UNKNOWN
        if self.digits is None or isinstance(value, str):
            return str(value)
        shown, step = value * self.scale, 10**-self.digits
        if not self.signed and 0 < shown < step / 2:
            return f"<{step:.{self.digits}f}{self.unit}"
        rounded = round(shown, self.digits) + 0.0  # adding zero turns -0.0 into 0.0
        return f"{rounded:{'+' if self.signed and rounded else ''}.{self.digits}f}{self.unit}"


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """One table.

    Attributes:
        key: the stem of its file, and the name of its sheet in a workbook.
        title: its heading.
        fields: its columns; the first ones name the row.
        rows: one value a column.
        remarks: sentences that stand before the table, without full stops.
        notes: sentences that stand after it, without full stops; the columns' meanings follow them.
        repeated: number of leading columns that are left blank in a row where they repeat the row above.
        bold: the cells that are marked as best, each as its row and its column, from 0.
    """

    key: str
    title: str
    fields: tuple[Field, ...]
    rows: tuple[tuple[Value, ...], ...]
    remarks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    repeated: int = 0
    bold: frozenset[tuple[int, int]] = frozenset()

    @property
    def legend(self) -> tuple[str, ...]:
        """The notes, then what the columns mean."""
        return (*self.notes, *(f"{field.title}: {field.meaning}" for field in self.fields if field.meaning))

    def texts(self) -> list[list[str]]:
        """The rows as shown."""
        found = []
        above: Sequence[Value] = ()
        for row in self.rows:
            same = 0
            while same < self.repeated and above and row[same] == above[same]:
                same += 1
            shown = (field.text(value) for field, value in zip(self.fields, row, strict=True))
            found.append(["" if place < same else text for place, text in enumerate(shown)])
            above = row
        return found


def sheet(key: str, title: str, fields: Sequence[Field], rows: Sequence[Mapping[str, Value]], **more: object) -> Sheet:
    """A sheet of rows by column; a column that a row lacks is None there.

    Args:
        key, title, fields: as `Sheet`.
        rows: by the columns' keys.
        more: the rest of `Sheet`.

    Raises:
        ValueError: a row has a key that no column has.
    """
    known = {field.key for field in fields}
    for row in rows:
        if strange := row.keys() - known:
            raise ValueError(f"sheet {key!r} has no column {sorted(strange)[0]!r}")
    values = tuple(tuple(row.get(field.key) for field in fields) for row in rows)
    return Sheet(key=key, title=title, fields=tuple(fields), rows=values, **more)  # type: ignore[arg-type]
