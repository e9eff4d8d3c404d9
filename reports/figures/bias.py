"""Where maps are too high or too low: by probability (reliability), and by place in the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bench.metrics.bias import GRID, LEVELS
from bench.reports.bias.rows import Row
from bench.reports.figures.canvas import ACROSS, BLACK, BLUE, GREY, MINUS, VERMILLION, panels, signed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OF_RELIABILITY = (
    "of the pixels that a map gives a probability, the share that is foreground, over the mean of that probability, in "
    f"{LEVELS} bins, of all images; below the diagonal the map is too high; the larger a disc, the more pixels (its "
    "area goes with the root of their share); grey: the base's own map"
)
OF_PLACES = (
    f"signed error, map minus truth, at {GRID} x {GRID} positions of the image, averaged over the images: orange (+) "
    f"is too high, blue ({MINUS}) too low; all panels have one scale"
)


def reliability(rows: Sequence[Row]) -> Figure:
    """A panel a refiner, with the base's own behind it."""
    own = next((row for row in rows if row.is_base), None)
    figure, all_axes = panels([row.refiner for row in rows], 1.45, sharex=True, sharey=True)
    for axes, row in zip(all_axes, rows, strict=True):
        axes.axline((0, 0), slope=1, color=GREY, linewidth=0.6)
        for one, colour in ((own, GREY), (row, BLUE)):
            if one is not None and (one is row or not row.is_base):
                share, confidence, accuracy = one.figures.calibration
                axes.plot(confidence, accuracy, color=colour, linewidth=0.8)
                axes.scatter(confidence, accuracy, 40 * np.sqrt(np.nan_to_num(share)), color=colour, linewidths=0)
        axes.set(xlim=(-0.05, 1.05), ylim=(-0.05, 1.05), aspect="equal", xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])
    figure.supxlabel("probability")
    figure.supylabel("share of foreground")
    return figure


def places(rows: Sequence[Row]) -> Figure:
    """A panel a refiner."""
    from matplotlib.colors import LinearSegmentedColormap

    errors = [row.figures.positions for row in rows]
    most = max(0.01, *(float(np.nanmax(np.abs(each), initial=0)) for each in errors))
    colours = LinearSegmentedColormap.from_list("bias", [BLUE, "white", VERMILLION]).with_extremes(bad=GREY)
    figure, all_axes = panels([row.refiner for row in rows], 1.45)
    for axes, each in zip(all_axes, errors, strict=True):
        drawn = axes.imshow(each, cmap=colours, vmin=-most, vmax=most)
        axes.set(xticks=[], yticks=[])
        for (top, left), value in np.ndenumerate(each):
            # A colour alone does not say which way: the sign does, where it is not faint.
            if abs(value) > most / 4:
                axes.text(left, top, "+" if value > 0 else MINUS, ha="center", va="center", color=BLACK, fontsize=5)
    figure.colorbar(
        drawn, ax=all_axes, shrink=0.7 if len(rows) <= ACROSS else 0.4, label="map minus truth", format=signed
    )
    return figure
