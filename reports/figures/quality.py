"""Gain over the quality of the base."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.reports.figures.canvas import BLUE, GREY, Form, panels, rendered, signed
from bench.reports.sheets import Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAYS = (
    "mean gain in mIoU with its 95 % interval over the mIoU of the base's own maps, a point a base and dataset, of the "
    "refiners that two or more have; the gains' axis is linear within 1 point of zero and logarithmic beyond"
)

_TICKS = (-100, -30, -10, -3, -1, 0, 1, 3, 10, 30, 100)
"""Of gains, in points."""


def gain_over_quality(curve: Sheet, form: Form) -> bytes:
    """A panel a refiner, as the sheet has them: gains with their intervals over the mIoU of the base, all in points.

    The gains' axis is linear within 1 point of zero and logarithmic beyond: half a point and forty are both to be seen.

    Args:
        curve: the second sheet of `bench.reports.strata.sheets`.

    Returns:
        The file's content.
    """
    return rendered(lambda: draw(curve), (form,))[form]


def several(curve: Sheet) -> Sheet:
    """The sheet without the refiners that are there for one base alone: they have no curve."""
    place = [field.key for field in curve.fields].index("refiner")
    counts = Counter(row[place] for row in curve.rows)
    return replace(curve, rows=tuple(row for row in curve.rows if counts[row[place]] > 1))


def draw(curve: Sheet) -> Figure:
    """See `gain_over_quality`."""
    from matplotlib.ticker import FixedLocator

    points = [dict(zip((field.key for field in curve.fields), row, strict=True)) for row in curve.rows]
    of_refiners = [
        (name, list(rows)) for name, rows in itertools.groupby(points, key=lambda point: str(point["refiner"]))
    ]
    figure, all_axes = panels([name for name, _ in of_refiners], 1.4, sharex=True, sharey=True)
    for axes, (_, rows) in zip(all_axes, of_refiners, strict=True):
        axes.axhline(0, color=GREY, linewidth=0.8)
        for row in rows:
            quality, gain = 100 * float(row["base_iou"] or 0), 100 * float(row["gain"] or 0)
            axes.plot(quality, gain, "o", color=BLUE, markersize=3)
            if row["low"] is not None and row["high"] is not None:
                axes.vlines(quality, 100 * float(row["low"]), 100 * float(row["high"]), color=BLUE)
        axes.set_yscale("symlog", linthresh=1)
        axes.yaxis.set_major_locator(FixedLocator(_TICKS))  # set_yticks would widen the axis to hold them all
        axes.yaxis.set_major_formatter(signed)
    figure.supxlabel("mIoU of the base")
    figure.supylabel("gain in mIoU, points")
    return figure
