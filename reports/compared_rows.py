"""The rows of two stores side by side: each with the cells of all its seeds that both have, or that one has alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from bench.reports import resampling
from bench.reports.columns import QUALITY, Column
from bench.reports.comparison import Compared, Comparison, Unpaired, Verdict
from bench.reports.pairs import aligned, resampled
from bench.reports.reading import Found
from bench.reports.rows import Row
from bench.reports.selection import Place, Selected, titles
from bench.reports.statistics import FEW, Gain, paired_gain
from bench.reports.tables import row_of

State: TypeAlias = Verdict | Literal["lost", "A", "B"]
"""A verdict; that it fails in B; or the only store that has finished it."""

STATES: tuple[State, ...] = ("lost", "regressed", "improved", "changed", "A", "B", "equal")
"""What a reader has to see first comes first."""


class Key(NamedTuple):
    """Which row."""

    place: Place
    base: str
    refiner: str


@dataclass(frozen=True)
class Difference:
    """One column in both stores, as stored.

    Attributes:
        before, after: over the images and seeds that both have a value of; None where there is none.
        change: after minus before; None where one of them is.
        low, high: ends of its 95 % bootstrap interval; None where it has none.
        few: the interval is of fewer images than it needs.
        gain: with the images won and lost, where the column is a mean over images.
    """

    before: float | None
    after: float | None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    few: bool = False
    gain: Gain | None = None


@dataclass(frozen=True)
class ComparedRow:
    """One refiner on one base in two stores.

    Attributes:
        title: of the dataset.
        oracle: it uses the ground truth.
        before, after: what each store says over the seeds that both have finished; where there is none, one of them
            over its own, and the other is None.
        cells: of those seeds.
        unpaired: cells of the row that one store has finished alone.
    """

    key: Key
    title: str
    oracle: bool
    before: Row | None
    after: Row | None
    cells: tuple[Compared, ...]
    unpaired: tuple[Unpaired, ...]
    _found: dict[str, Difference] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def state(self) -> State:
        """The first in `STATES` of its cells; of an unpaired one only that it is lost, where there are others."""
        found: set[State] = {cell.verdict for cell in self.cells} or {cell.where for cell in self.unpaired}
        if any(cell.lost for cell in self.unpaired):
            found.add("lost")
        return next(state for state in STATES if state in found)

    @property
    def sides(self) -> list[Row]:
        """Those that there are."""
        return [row for row in (self.before, self.after) if row is not None]

    @cached_property
    def quality(self) -> tuple[Column, ...]:
        """What can be compared: the built-in columns, and the plugged-in ones that all cells share in one version."""
        more = dict.fromkeys(column for row in self.sides for column in row.plugged_in)
        shared = [column for column in more if all(column.key in cell.metrics for cell in self.cells)]
        return (*QUALITY, *shared)

    def difference(self, column: Column) -> Difference:
        """Of a column of `quality`, or of a cost, which has no interval."""
        if column.key not in self._found:
            self._found[column.key] = self._difference(column)
        return self._found[column.key]

    def _difference(self, column: Column) -> Difference:
        before, after = (None if row is None else row.values.get(column.key) for row in (self.before, self.after))
        if self.before is None or self.after is None:
            return Difference(before, after)
        pair = aligned((self.before, self.after), column.parts) if column.parts else None
        if pair is None:
            change = None if before is None or after is None else after - before
            return Difference(before, after, change)
        one, other = pair.values[:, :, 0], pair.values[:, :, 1]
        before, after = (float(column.combine(side.mean(axis=0)).mean()) for side in (one, other))
        if len(column.parts) == 1 and not column.curve:
            gain = paired_gain(other[..., 0], one[..., 0])
            return Difference(before, after, gain.mean, gain.low, gain.high, gain.few, gain)
        if np.array_equal(one, other):
            return Difference(before, after, 0.0, 0.0, 0.0)
        drawn = resampled((self.before, self.after), column)
        low, high = resampling.interval(drawn[:, 1] - drawn[:, 0]) if len(drawn) else (None, None)
        return Difference(before, after, after - before, low, high, len(pair.images) < FEW)


def compared_rows(comparison: Comparison, before: Found, after: Found) -> list[ComparedRow]:
    """All rows that one of the stores has finished, by dataset and base, else in the order of A; then B's own.

    Args:
        comparison: of the two.
        before, after: the stores A and B.
    """
    paired: dict[Key, list[Compared]] = defaultdict(list)
    unpaired: dict[Key, list[Unpaired]] = defaultdict(list)
    for compared in comparison.cells:
        paired[_key(compared.cell)].append(compared)
    for alone in comparison.unpaired:
        unpaired[_key(alone.cell)].append(alone)
    cells = [*before.cells, *after.cells]
    keys = [key for key in dict.fromkeys(map(_key, cells)) if key in paired or key in unpaired]
    tables = {table: order for order, table in enumerate(dict.fromkeys(key[:2] for key in keys))}
    places = {place: order for order, place in enumerate(dict.fromkeys(place for place, _ in tables))}
    keys.sort(key=lambda key: (places[key.place], tables[key[:2]]))
    called = titles(places)
    return [_row(key, called[key.place], paired[key], unpaired[key], before, after) for key in keys]


def _row(
    key: Key, title: str, paired: Sequence[Compared], unpaired: Sequence[Unpaired], before: Found, after: Found
) -> ComparedRow:
    sides = [[cell.cell for cell in paired], [cell.other for cell in paired]]
    if not paired:
        sides = [[each.cell for each in unpaired if each.where == where] for where in "AB"]
    oracle = any(cell.manifest.uses_ground_truth for side in sides for cell in side)
    one, other = (_side(key, cells, found, oracle) for cells, found in zip(sides, (before, after), strict=True))
    return ComparedRow(key, title, oracle, one, other, tuple(paired), tuple(unpaired))


def _side(key: Key, cells: Sequence[Selected], found: Found, oracle: bool) -> Row | None:
    if not cells:
        return None
    row = row_of(key.base, key.refiner, cells, found.scores, oracle=oracle)
    # Cells were paired already, whatever maps they refine: another training is what may be compared here.
    return replace(row, maps=dict.fromkeys(row.seeds, ""))


def _key(cell: Selected) -> Key:
    return Key(cell.place, cell.base, cell.refiner)
