"""Every image before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bench.reports.columns import QUALITY
from bench.reports.figures.canvas import BLACK, BLUE, GREY, VERMILLION, panels
from bench.reports.pairs import aligned
from bench.reports.rows import Row
from bench.reports.statistics import LOSS, ROUNDING
from bench.reports.tables import Block

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAYS = (
    "IoU of each image's refined map over that of the base's own, in percent, averaged over the seeds that both have; "
    "within the band, of 1 point on either side of the diagonal, images tie; blue triangles won, orange ones lost; the "
    "numbers are wins, ties and losses"
)

MOST = 20
"""Panels of one figure: five rows fill a page."""

_MANY = 2000
"""Points; more are a picture in the PDF, which would else be slow to open."""


def shown(block: Block, baseline: str) -> tuple[Row, list[Row]] | None:
    """The base's own row and those that are compared with it; None where there are none."""
    own = [row for row in block.rows if row.status == "done" and row.refiner == baseline]
    rows = [row for row in block.rows if row.status == "done" and QUALITY[0].key in row.gains]
    return (own[0], rows) if own and rows else None


def draw(own: Row, rows: Sequence[Row]) -> Figure:
    """A panel a row; see `shown`."""
    figure, all_axes = panels([row.marked for row in rows], 1.5, sharex=True, sharey=True)
    for axes, row in zip(all_axes, rows, strict=True):
        pair = aligned((row, own), (QUALITY[0].key,))
        if pair is None:  # a row with a gain has one
            raise ValueError(f"{row.refiner} has no image of {own.refiner}")
        after, before = 100 * pair.values[..., 0].mean(axis=1).T
        moved = (after - before) / 100
        won, lost = moved > LOSS + ROUNDING, moved < -LOSS - ROUNDING
        axes.fill_between([0, 100], [-1, 99], [1, 101], color=GREY, linewidth=0)
        axes.axline((0, 0), slope=1, color=BLACK, linewidth=0.3)
        kinds = ((~won & ~lost, ".", "0.35"), (won, "^", BLUE), (lost, "v", VERMILLION))
        for which, mark, colour in kinds:
            axes.plot(
                before[which],
                after[which],
                mark,
                color=colour,
                markersize=2.5,
                markeredgewidth=0,
                alpha=0.7,
                rasterized=len(moved) > _MANY,
            )
        counts = f"{won.sum()}/{np.sum(~won & ~lost)}/{lost.sum()}"
        axes.text(0.97, 0.04, counts, transform=axes.transAxes, ha="right", va="bottom")
        axes.set(xlim=(-2, 102), ylim=(-2, 102), aspect="equal", xticks=[0, 50, 100], yticks=[0, 50, 100])
    figure.supxlabel("IoU of the base's own map, %")
    figure.supylabel("IoU of the refined map, %")
    return figure
