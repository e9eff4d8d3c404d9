"""Which figures a store gives; of each kind that it gives none of, a line on stderr says what that needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import pandas as pd

from bench.contracts import UserError
from bench.reports import strata
from bench.reports.bias.rows import tables
from bench.reports.columns import QUALITY
from bench.reports.figures import bias, cost, examples, patch_size, quality, ranks, scatter
from bench.reports.figures.choice import FEWEST, choose
from bench.reports.figures.drawing import Drawing
from bench.reports.figures.examples import Example
from bench.reports.ranks import Ranking
from bench.reports.reading import Found
from bench.reports.rows import Row
from bench.reports.selection import CellsOfRows, cells_of_rows
from bench.reports.statistics import points
from bench.reports.tables import Group, Report
from bench.runtime.progress import note
from bench.store import Store

_DECIDES = QUALITY[0].key


@dataclass(frozen=True)
class Gathering:
    """What is drawn from.

    Attributes:
        store: where the pictures are.
        found: the cells.
        report: their tables.
        ranking: makes the ranks; raises UserError where there can be none.
        biased: the cells that have the bias of their maps, and their tables; None where there are none.
    """

    store: Store
    found: Found
    report: Report
    ranking: Callable[[], Ranking]
    biased: tuple[Found, Report] | None

    def drawings(self) -> list[Drawing]:
        """All of them.

        Raises:
            UserError: there is nothing to draw.
        """
        kinds: tuple[tuple[str, Callable[[], Iterator[Drawing]], str], ...] = (
            ("examples", self._examples, f"{FEWEST} or more images with pictures: bench run --keep-maps 12"),
            ("cost", self._costs, "a finished refiner beside its base's own map"),
            ("images before and after", self._scatters, "a finished refiner beside its base's own map"),
            ("gain over quality", self._quality, "a refiner on two bases, with their own maps"),
            ("patch size", self._patch_sizes, "two cells prn[grid=...] of one base: bench run --experiment patch-size"),
            ("reliability and bias by place", self._biases, "cells that were run with --metric bias"),
            ("critical difference", self._ranks, "two bases with the same three refiners"),
        )
        made = []
        for kind, make, needs in kinds:
            of_kind = list(make())
            if not of_kind:
                note(f"no figure of {kind}: needs {needs}")
            made += of_kind
        if not made:
            fix = "finish a refiner and the base's own map: bench run"
            raise UserError("nothing to draw", self.store.address, fix)
        return made

    @cached_property
    def _cells(self) -> CellsOfRows:
        return cells_of_rows(self.found.cells)

    def _costs(self) -> Iterator[Drawing]:
        for group, block in self.report.blocks:
            if rows := cost.shown(block, self.report.baseline):
                yield Drawing("cost", (group.title, block.base), cost.SAYS, partial(cost.draw, rows))

    def _scatters(self) -> Iterator[Drawing]:
        for group, block in self.report.blocks:
            if (found := scatter.shown(block, self.report.baseline)) is None:
                continue
            own, rows = found
            for begin in range(0, len(rows), scatter.MOST):
                page = rows[begin : begin + scatter.MOST]
                kind = f"images-{begin // scatter.MOST + 1}" if len(rows) > scatter.MOST else "images"
                yield Drawing(kind, (group.title, block.base), scatter.SAYS, partial(scatter.draw, own, page))

    def _quality(self) -> Iterator[Drawing]:
        curve = quality.several(strata.curve(self.report))
        if curve.rows:
            yield Drawing("quality", (), quality.SAYS, partial(quality.draw, curve))

    def _patch_sizes(self) -> Iterator[Drawing]:
        for group in self.report.groups:
            if curves := patch_size.curves(group, self._cells):
                yield Drawing("patch-size", (group.title,), patch_size.SAYS, partial(patch_size.draw, curves))

    def _biases(self) -> Iterator[Drawing]:
        for table in tables(*self.biased) if self.biased else ():
            for base in dict.fromkeys(row.base for row in table.rows):
                rows = [row for row in table.rows if row.base == base]
                named = (table.title, base)
                yield Drawing("reliability", named, bias.OF_RELIABILITY, partial(bias.reliability, rows))
                yield Drawing("bias", named, bias.OF_PLACES, partial(bias.places, rows))

    def _ranks(self) -> Iterator[Drawing]:
        try:
            found = self.ranking()
        except UserError:
            return
        yield Drawing("ranks", (), ranks.SAYS, partial(ranks.draw, found))

    def _examples(self) -> Iterator[Drawing]:
        for group, block in self.report.blocks:
            own = next((row for row in block.rows if row.refiner == self.report.baseline), None)
            for row in block.rows:
                if own is None or _DECIDES not in row.gains:
                    continue
                seed, chosen = self._chosen(group, row, own)
                names = (group.title, block.base, row.refiner)
                listed = "; ".join(
                    f"{one.choice.name}: {one.choice.id}, {points(one.choice.gain)} points of IoU" for one in chosen
                )
                says = f"from top to bottom{f', seed {seed}' if len(row.seeds) > 1 else ''}: {listed}"
                if chosen:
                    yield Drawing(
                        "examples", names, f"{says}. {examples.OF_CHANGES}", partial(examples.changed, chosen)
                    )
                    yield Drawing("biased", names, f"{says}. {examples.OF_BIAS}", partial(examples.biased, chosen))

    def _chosen(self, group: Group, row: Row, own: Row) -> tuple[int, Sequence[Example]]:
        """The rows of the row's first seed that has pictures, and that; none where no seed has enough."""
        cells = self._cells[group.place, row.base, row.refiner]
        keys = {cell.manifest.seed: cell.manifest.key for cell in cells}
        for seed in row.seeds:
            if row.maps[seed] != own.maps.get(seed):
                continue
            after, before = (pd.Series(one[_DECIDES], one.images) for one in (row.records[seed], own.records[seed]))
            gains: pd.Series[float] = after - before
            kept = {image.id: image for image in self.store.kept(keys[seed])}
            if choices := choose(gains.dropna(), kept):
                return seed, [Example(choice, kept[choice.id], self.store) for choice in choices]
        return 0, []
