"""Which of a store's cells stand beside which row of the paper."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.reports.columns import QUALITY
from bench.reports.pairs import aligned
from bench.reports.published import PaperRow, PaperTable, Published, named
from bench.reports.reading import Found
from bench.reports.rows import Row
from bench.reports.selection import Kind, Selected
from bench.reports.tables import row_of
from bench.store import Manifest, VariantName


@dataclass(frozen=True)
class Measured:
    """The cells of one dataset, base and refiner, over their seeds.

    Attributes:
        cells: at least one.
        row: their numbers, or why there are none.
        gains: over the baseline, where both have a seed on the same maps: by column, as stored.
    """

    cells: Sequence[Selected]
    row: Row
    gains: Mapping[str, float]

    @property
    def manifest(self) -> Manifest:
        """One that stands for all: a finished one if there is one."""
        return next((one for one in self.manifests if one.status == "done"), self.manifests[0])

    @property
    def manifests(self) -> list[Manifest]:
        return [cell.manifest for cell in self.cells]

    @cached_property
    def dataset(self) -> str:
        """The plug-in, whatever the variant is called."""
        return self._plugin("dataset")

    @cached_property
    def base(self) -> str:
        """As `dataset`."""
        return self._plugin("base")

    @property
    def where(self) -> str:
        """Dataset and base, as the report calls them."""
        return f"{self.cells[0].dataset} x {self.cells[0].base}"

    def is_of(self, row: PaperRow, published: Published) -> bool:
        """Whether it is the row's method, under its protocol."""
        return self.manifest.protocol == row.protocol and published.alike(row.refiner, called(self.manifest, "refiner"))

    def is_exactly(self, row: PaperRow) -> bool:
        """Whether it is of the row's dataset and base."""
        return (self.dataset, self.base) == (row.dataset, row.base)

    def _plugin(self, kind: Kind) -> str:
        identity = self.manifest.identity.get(kind)
        if kind == "base" and isinstance(identity, dict):
            identity = identity.get("base")
        known = identity.get("name") if isinstance(identity, dict) else None  # an earlier version wrote none
        return str(known or called(self.manifest, kind).name)


@dataclass(frozen=True)
class Placed:
    """What is measured, by the paper's rows.

    Attributes:
        beside: one entry a row of the paper, in its order: those of its dataset and base first.
        others: what is of no row.
    """

    beside: Sequence[tuple[PaperRow, Sequence[Measured]]]
    others: Sequence[Measured]


def called(manifest: Manifest, kind: Kind) -> VariantName:
    """The name of its variant; layout 1 has but a label."""
    return manifest.names.get(kind) or named(getattr(manifest, kind))


def place(found: Found, table: PaperTable, published: Published, baseline: str) -> Placed:
    """Lay the cells beside the rows of the paper.

    One of a row's method on another dataset or base is placed there, too: where the table has but one base, beside its
    row of that method, else beside the rows of its own base.

    Args:
        baseline: the refiner that gains are measured over.
    """
    every = _measured(found, baseline)
    one_base = len({(row.dataset, row.base) for row in table.rows}) == 1
    chosen: dict[int, list[PaperRow]] = {}
    for index, one in enumerate(every):
        rows = [row for row in table.rows if one.is_of(row, published)]
        exact = [row for row in rows if one.is_exactly(row)]
        chosen[index] = exact or [row for row in rows if one_base or row.base == one.base]
    beside = []
    for row in table.rows:
        here = [one for index, one in enumerate(every) if any(row is other for other in chosen[index])]
        beside.append((row, sorted(here, key=lambda one: not one.is_exactly(row))))
    return Placed(beside, [one for index, one in enumerate(every) if not chosen[index]])


def _measured(found: Found, baseline: str) -> list[Measured]:
    """In the order of the cells."""
    groups: dict[tuple[object, ...], dict[str, list[Selected]]] = defaultdict(lambda: defaultdict(list))
    for cell in found.cells:
        groups[cell.place, cell.base][cell.refiner].append(cell)
    measured = []
    for group in groups.values():
        rows = {refiner: _row(cells, found) for refiner, cells in group.items()}
        for refiner, row in rows.items():
            gains = _gains(row, rows[baseline]) if refiner != baseline and baseline in rows else {}
            measured.append(Measured(group[refiner], row, gains))
    return measured


def _row(cells: Sequence[Selected], found: Found) -> Row:
    first = cells[0]
    return row_of(first.base, first.refiner, cells, found.scores, oracle=first.manifest.uses_ground_truth)


def _gains(row: Row, of_base: Row) -> dict[str, float]:
    """By column: the mean over the seeds that both have."""
    gains = {}
    for column in QUALITY:
        if both := aligned((row, of_base), column.parts):
            values = column.combine(both.values.mean(axis=0))  # a line a seed, then the two rows
            gains[column.key] = float((values[:, 0] - values[:, 1]).mean())
    return gains
