"""The rows of a report, each with the cells that it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.reports.page.content import id_of
from bench.reports.reading import Found
from bench.reports.rows import Row
from bench.reports.selection import Selected, cells_of_rows
from bench.reports.tables import Block, Group, Report
from bench.store import Manifest


@dataclass(frozen=True)
class Line:
    """One row of a report, and where it stands.

    Attributes:
        baseline: the base's own row; None where it has not finished.
        cells: one a seed.
    """

    group: Group
    block: Block
    row: Row
    baseline: Row | None
    cells: Sequence[Selected]

    @cached_property
    def id(self) -> str:
        """What links call it."""
        return id_of(*self.group.place, self.block.base, self.row.refiner)

    @property
    def finished(self) -> list[Manifest]:
        """The manifests of its finished cells, by seed."""
        done = [cell.manifest for cell in self.cells if cell.manifest.status == "done"]
        return sorted(done, key=lambda manifest: manifest.seed)


def lines(report: Report, found: Found) -> list[Line]:
    """All rows in the order of the report.

    Args:
        found: what the report was assembled of.
    """
    cells = cells_of_rows(found.cells)
    return [
        Line(group, block, row, own, cells[group.place, block.base, row.refiner])
        for group in report.groups
        for block in group.blocks
        for own in [_baseline(block, report.baseline)]
        for row in block.rows
    ]


def _baseline(block: Block, name: str) -> Row | None:
    return next((row for row in block.rows if row.refiner == name and row.status == "done"), None)
