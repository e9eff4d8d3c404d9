"""The tables as data: dataset > base > refiner. Markdown, LaTeX and CSV are written from this alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from bench.reports import legend
from bench.reports.captions import copies, origin, remarks
from bench.reports.columns import COST, QUALITY, SPREAD, Column, headroom
from bench.reports.pairs import differences, told_apart_from_all, with_gains, with_headroom, with_inner
from bench.reports.reading import Found
from bench.reports.rows import Row, finished, unfinished, with_gaps
from bench.reports.scores import Scores
from bench.reports.selection import Place, Selected, titles
from bench.runtime.collecting import no_collecting


@dataclass(frozen=True)
class Block:
    """One base: its baseline row first, then the refiners, oracles last.

    Attributes:
        groups: image id -> the group that is resampled whole; None where images are.
    """

    base: str
    rows: tuple[Row, ...]
    groups: Mapping[str, str] | None = field(default=None, repr=False, compare=False)
    _best: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def best(self, column: Column) -> str:
        """The refiner with the best value, where it is told apart from all others; else "".

        A difference inside its interval is none, see `bench.reports.pairs.told_apart`: where the best is not told
        apart from another, no value of the column stands out. Oracles and contaminated rows do not compete.
        """
        if column.key not in self._best:
            self._best[column.key] = self._found_best(column)
        return self._best[column.key]

    def _found_best(self, column: Column) -> str:
        fair = [
            row
            for row in self.rows
            if not row.oracle and not row.contaminated and row.values.get(column.key) is not None
        ]
        if column.better is None or len(fair) < 2:
            return ""
        fair.sort(key=lambda row: row.values[column.key] or 0.0, reverse=column.better == "higher")
        best, *others = fair
        return best.refiner if told_apart_from_all(best, others, column, self.groups) else ""


@dataclass(frozen=True)
class Group:
    """One dataset under one limit and one protocol.

    Attributes:
        place: what it is; limit is the cap on samples per split, or None; layout that of the store's version, see
            `bench.store.LAYOUT`; rules the id of `bench.metrics.columns.RULES`.
        title: for headings.
        blocks: one for each base.
        remarks: sentences that hold for the whole group: images, seeds, protocol, what was left out.
        origin: more of them: device, version, commit, dates.
        copies: what the dataset's copies held, where they were partial, see `bench.reports.captions.copies`.
    """

    place: Place
    title: str
    blocks: tuple[Block, ...]
    remarks: tuple[str, ...]
    origin: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()

    @property
    def caption(self) -> str:
        """The remarks and the origin, in one line."""
        return "; ".join((*self.remarks, *self.origin))

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Footnotes, each once, in the order of the rows; the first is number 1."""
        return tuple(dict.fromkeys(note for block in self.blocks for row in block.rows for note in row.notes))

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {note: number for number, note in enumerate(self.notes, start=1)}

    def marks(self, row: Row) -> list[int]:
        """Numbers of the row's footnotes."""
        return [self._numbers[note] for note in row.notes]

    @cached_property
    def oracles(self) -> tuple[str, ...]:
        """Names of the oracles that have finished on some base."""
        done = (row for block in self.blocks for row in block.rows if row.status == "done")
        return tuple(dict.fromkeys(row.refiner for row in done if row.oracle))


@dataclass(frozen=True, slots=True)
class Section:
    """One kind of table.

    Attributes:
        legend: sentences that explain it.
    """

    title: str
    columns: tuple[Column, ...]
    legend: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """All tables of a store.

    Attributes:
        baseline: the refiner that stands for the base itself; gains are over it.
        groups: one for each dataset, limit and protocol.
        damaged: a line for each file of the store that could not be read.
    """

    baseline: str
    groups: tuple[Group, ...]
    damaged: tuple[str, ...] = ()

    @cached_property
    def blocks(self) -> tuple[tuple[Group, Block], ...]:
        """Each with its group, in their order."""
        return tuple((group, block) for group in self.groups for block in group.blocks)

    @cached_property
    def quality(self) -> tuple[Column, ...]:
        """The columns of the quality tables."""
        return self._shown((*QUALITY, *self.plugged_in, SPREAD))

    @cached_property
    def plugged_in(self) -> tuple[Column, ...]:
        """The columns of the plugged-in metrics; of two with one heading, each has its own name for one."""
        found = {column.key: column for row in self._rows for column in row.plugged_in}
        titles = [column.title for column in (*QUALITY, *found.values())]
        return tuple(
            column if titles.count(column.title) == 1 else replace(column, title=column.key)
            for column in found.values()
        )

    @cached_property
    def headroom(self) -> tuple[Column, ...]:
        """The columns of the headroom tables: one an oracle."""
        return tuple(headroom(name) for name in dict.fromkeys(name for group in self.groups for name in group.oracles))

    @cached_property
    def cost(self) -> tuple[Column, ...]:
        """The columns of the cost tables."""
        return self._shown(COST)

    def sections(self, group: Group | None = None) -> list[Section]:
        """The kinds of table that a group has; None for all that the report has."""
        of_group = None if group is None else {headroom(name).key for name in group.oracles}
        shown = tuple(column for column in self.headroom if of_group is None or column.key in of_group)
        quality, cost = self._quality_and_cost
        found = [quality, Section("Headroom recovered", shown, legend.of_headroom(shown)), cost]
        return [section for section in found if section.columns]

    @cached_property
    def _quality_and_cost(self) -> tuple[Section, Section]:
        marked = any(row.contaminated for row in self._rows)
        explained = legend.of_quality(self.quality, self.baseline, contaminated=marked)
        return Section("Quality", self.quality, explained), Section("Cost", self.cost, legend.of_cost(self.cost))

    def _shown(self, columns: Sequence[Column]) -> tuple[Column, ...]:
        return tuple(column for column in columns if column.key in self._known or not column.if_known)

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(key for row in self._rows for key, value in row.values.items() if value is not None)

    @property
    def _rows(self) -> Iterable[Row]:
        return (row for group in self.groups for block in group.blocks for row in block.rows)


@no_collecting()
def assemble(found: Found, baseline: str, groups: Mapping[str, str] | None = None) -> Report:
    """Lay the cells out.

    Args:
        found: what is shown.
        baseline: canonical name of the refiner that gains are measured over.
        groups: image id -> the group (video, patient, tile) that is resampled whole for intervals; None to resample
            images.
    """
    grouped: dict[Place, list[Selected]] = defaultdict(list)
    for cell in found.cells:
        grouped[cell.place].append(cell)
    called = titles(grouped)
    laid = []
    for place, members in grouped.items():
        blocks, shared = _without_shared_notes(_blocks(members, found.scores, baseline, groups))
        rows = [row for block in blocks for row in block.rows]
        said = (*remarks(members, rows), *shared)
        laid.append(Group(place, called[place], blocks, said, origin(members), copies(members)))
    return Report(baseline, tuple(laid), tuple(map(str, found.damaged)))


def _blocks(
    cells: Sequence[Selected],
    by_key: Mapping[str, Scores],
    baseline: str,
    groups: Mapping[str, str] | None,
) -> list[Block]:
    """One block a base, each with a row for every refiner that any of them has."""
    oracles = {cell.refiner: cell.manifest.uses_ground_truth for cell in cells}
    # The sort is stable: within each of the three kinds the refiners keep their places in the grid.
    refiners = sorted(oracles, key=lambda refiner: (oracles[refiner], refiner != baseline))
    named: dict[str, dict[str, list[Selected]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        named[cell.base][cell.refiner].append(cell)
    blocks = []
    for base, of_base in named.items():
        rows = {
            refiner: row_of(base, refiner, of_base.get(refiner, ()), by_key, oracle=oracles[refiner])
            for refiner in refiners
        }
        own = rows.get(baseline, Row(base, baseline, "missing"))
        bounds = {name: differences(row, own) for name, row in rows.items() if row.oracle and row.status == "done"}
        gaining = [row for row in rows.values() if row.status == "done" and row.refiner != baseline]
        gained = {row.refiner: row for row in with_gains(gaining, own, groups)}
        compared = []
        for refiner, row in {**rows, **gained}.items():
            if row.status == "done":
                for inner in _inner(of_base.get(refiner, ()), of_base):
                    row = with_inner(row, rows[inner], own)
                row = with_headroom(row, own, bounds)
            compared.append(row)
        blocks.append(Block(base, tuple(compared), groups))
    done = [row for block in blocks for row in block.rows if row.status == "done"]
    seeds = {seed for row in done for seed in row.seeds}
    images = max((row.images for row in done), default=0)

    def gaps(row: Row) -> Row:
        return with_gaps(row, named[row.base][row.refiner], seeds=seeds, images=images) if row.status == "done" else row

    return [replace(block, rows=tuple(gaps(row) for row in block.rows)) for block in blocks]


def row_of(base: str, refiner: str, cells: Sequence[Selected], by_key: Mapping[str, Scores], *, oracle: bool) -> Row:
    """The row of some cells, one a seed, on its own; ``by_key`` are the finished ones' numbers."""
    done = [cell.manifest for cell in cells if cell.manifest.status == "done"]
    if not done:
        return unfinished(base, refiner, cells, oracle=oracle)
    records = {manifest.seed: by_key[manifest.key] for manifest in done}
    return finished(base, refiner, cells, records, oracle=oracle)


def _inner(cells: Sequence[Selected], of_base: Mapping[str, Sequence[Selected]]) -> list[str]:
    """The rows of the base whose refiner is a parameter of these cells' refiner."""
    parameters = (_of_refiner(cell).get("parameters", {}) for cell in cells)
    inside = [value for values in parameters for value in values.values() if isinstance(value, Mapping)]
    if not inside:
        return []
    return [name for name, others in of_base.items() if any(_of_refiner(other) in inside for other in others)]


def _of_refiner(cell: Selected) -> dict[str, Any]:
    """The identity of its refiner; an earlier version wrote none."""
    found: dict[str, Any] = cell.manifest.identity.get("refiner", {})
    return found


def _without_shared_notes(blocks: Sequence[Block]) -> tuple[tuple[Block, ...], tuple[str, ...]]:
    """What every finished row would say is said once for the group."""
    done = [row for block in blocks for row in block.rows if row.status == "done"]
    shared = tuple(note for note in done[0].notes if all(note in row.notes for row in done)) if len(done) > 1 else ()

    def own(row: Row) -> Row:
        return replace(row, notes=tuple(note for note in row.notes if note not in shared))

    return tuple(replace(block, rows=tuple(own(row) for row in block.rows)) for block in blocks), shared
