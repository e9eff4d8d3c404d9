"""Pictures of a report, drawn by matplotlib without a screen."""

from __future__ import annotations

import io
import itertools
import textwrap
from typing import TYPE_CHECKING, Literal, TypeAlias

from bench.reports.ranks import Ranking, nemenyi
from bench.reports.sheets import Sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Form: TypeAlias = Literal["pdf", "png"]
FORMS: tuple[Form, ...] = ("pdf", "png")

_ACROSS = 4
"""Panels side by side."""

_TICKS = (-100, -10, -1, 0, 1, 10, 100)
"""Of gains, in points."""


def critical_difference(found: Ranking, form: Form) -> bytes:
    """The diagram of Demšar (2006): mean ranks on a line, best at the left, bars over refiners that are not told apart.

    A bar joins refiners whose pairs all have a Nemenyi p of 0.05 or more.

    Returns:
        The file's content.
    """
    from scikit_posthocs import critical_difference_diagram

    figure = _blank(7, 0.8 + 0.28 * len(found.refiners))
    axes = figure.add_subplot()
    ranks = dict(zip(found.refiners, found.ranks.mean(axis=0), strict=True))
    critical_difference_diagram(ranks, nemenyi(found), ax=axes, label_props={"fontsize": 8, "parse_math": False})
    return _content(figure, form)


def gain_over_quality(curve: Sheet, form: Form) -> bytes:
    """A panel a refiner, as the sheet has them: gains with their intervals over the mIoU of the base, all in points.

    The gains' axis is linear within 1 point of zero and logarithmic beyond: half a point and forty are both to be seen.

    Args:
        curve: the second sheet of `bench.reports.strata.sheets`.

    Returns:
        The file's content.
    """
    from matplotlib.ticker import FixedLocator

    points = [dict(zip((field.key for field in curve.fields), row, strict=True)) for row in curve.rows]
    panels = [(name, list(rows)) for name, rows in itertools.groupby(points, key=lambda point: str(point["refiner"]))]
    down = max(1, -(-len(panels) // _ACROSS))
    figure = _blank(2.1 * _ACROSS, 0.7 + 1.5 * down)
    grid = figure.subplots(down, _ACROSS, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (name, rows) in zip(grid.flat, panels, strict=False):
        axes.axhline(0, color="0.6", linewidth=0.8)
        for row in rows:
            quality, gain = 100 * float(row["base_iou"] or 0), 100 * float(row["gain"] or 0)
            axes.plot(quality, gain, "o", color="tab:blue", markersize=3)
            if row["low"] is not None and row["high"] is not None:
                axes.vlines(quality, 100 * float(row["low"]), 100 * float(row["high"]), color="tab:blue", linewidth=1)
        axes.set_yscale("symlog", linthresh=1)
        axes.yaxis.set_major_locator(FixedLocator(_TICKS))  # set_yticks would widen the axis to hold them all
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:+.0f}" if value else "0")
        axes.set_title("\n".join(textwrap.wrap(name.replace(",", ", "), 34)), fontsize=6, parse_math=False)
        axes.tick_params(labelsize=7)
    figure.supxlabel("mIoU of the base", fontsize=8)
    figure.supylabel("gain in mIoU, points", fontsize=8)
    return _content(figure, form)


def _blank(width: float, height: float) -> Figure:
    """Of a size in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # No pyplot: it would keep the figure, and choose a backend that may want a screen.
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _content(figure: Figure, form: Form) -> bytes:
    picture = io.BytesIO()
    # Labels may lie beside the axes: the page grows to hold them.
    dates = {"CreationDate": None} if form == "pdf" else None
    figure.savefig(picture, format=form, dpi=200, bbox_inches="tight", metadata=dates)
    return picture.getvalue()
