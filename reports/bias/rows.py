"""The rows of the bias report: what the store has of each base and refiner, and how much a refiner changes it."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.metrics.bias import SIZE
from bench.reports.bias.figures import Figures
from bench.reports.pairs import numbered
from bench.reports.reading import Found
from bench.reports.scores import shared_images
from bench.reports.selection import Place, Selected, comparable
from bench.reports.sheets import Value
from bench.reports.tables import Block, Report
from bench.store import Manifest

_Cells = Mapping[tuple[str, str], list[Selected]]
"""By base and refiner, in the order of the report."""

METRIC = "bias"
"""The plug-in whose vectors are shown."""


@dataclass(frozen=True)
class Row:
    """One base with one refiner, whose name has a dagger where it sees the truth.

    Attributes:
        figures: of its maps.
        is_base: its maps are the base's own.
        change: from those to its own, see `Figures.change`; empty where they are the same, or no finished cell of the
            base's has the same maps.
    """

    base: str
    refiner: str
    figures: Figures
    is_base: bool
    change: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """The finished rows of one dataset by one metric, in the report's order.

    Attributes:
        number: tells the keys of its sheets from those of others; "" where it is the only one.
        dataset: as the report calls it.
        title: what the titles of its sheets begin with.
        remarks: the report's, of the dataset.
    """

    number: str
    dataset: str
    title: str
    remarks: tuple[str, ...]
    rows: tuple[Row, ...]


def labels(manifest: Manifest) -> list[str]:
    """The columns of a cell's records that hold bias vectors: one for each side of patches."""
    return [
        label
        for label, metric in manifest.metrics.items()
        if label.partition("[")[0] == METRIC and metric.curve == SIZE
    ]


def tables(found: Found, report: Report) -> list[Table]:
    """One a dataset and side of patches; see `bench.reports.bias.sheets`."""
    named: dict[tuple[Place, str], _Cells] = defaultdict(lambda: defaultdict(list))
    for cell in found.cells:
        for label in labels(cell.manifest) if cell.manifest.status == "done" else ():
            named[cell.place, label][cell.base, cell.refiner].append(cell)
    groups = {group.place: group for group in report.groups}
    order = {place: number for number, place in enumerate(groups)}
    scored = sorted(named.items(), key=lambda item: order[item[0][0]])
    return [
        Table(
            "" if len(named) == 1 else f"_{number}",
            group.place.dataset,
            group.title if label == METRIC else f"{group.title}, {label}",
            group.remarks,
            tuple(row for block in group.blocks for row in _rows(block, label, cells, found, report.baseline)),
        )
        for number, ((place, label), cells) in enumerate(scored, 1)
        for group in [groups[place]]
    ]


def _rows(block: Block, label: str, cells: _Cells, found: Found, baseline: str) -> Iterator[Row]:
    def figures(of: Sequence[Selected]) -> Figures:
        # Only images that every seed has, as in the other tables.
        scores = [found.scores[cell.manifest.key] for cell in of]
        images = shared_images(scores)
        vectors = np.stack([one.of(images, label) for one in scores]).astype(np.float64, copy=False)
        return Figures(vectors, images, numbered(images, block.groups))

    base = cells.get((block.base, baseline), [])
    for row in block.rows:
        own = cells.get((block.base, row.refiner), [])
        if not own or (shown := figures(own)).images.empty:
            continue
        same = [pair for pair in itertools.product(own, base) if comparable(*(cell.manifest for cell in pair))]
        change: Mapping[str, Value] = {}
        if same and row.refiner != baseline:
            refined, unrefined = (figures(side) for side in zip(*same, strict=True))
            change = refined.change(unrefined)
        yield Row(row.base, row.marked, shown, row.refiner == baseline, change)
