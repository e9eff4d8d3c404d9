"""Gain over the side of a patch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.reports.columns import QUALITY
from bench.reports.figures.canvas import COLOURS, GREY, SINGLE, blank, signed, wrapped
from bench.reports.selection import CellsOfRows
from bench.reports.statistics import Gain
from bench.reports.tables import Group
from bench.store import VariantName

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAYS = (
    "gain in mIoU with its 95 % interval over the side of a patch, as a share of the map's side: one over the "
    "parameter grid"
)

_LOOKS = tuple(zip("os^DvPX", COLOURS, strict=True))


@dataclass(frozen=True)
class Curve:
    """The cells of one base that differ in the size of a patch alone.

    Attributes:
        name: the base, and the refiner without its grid.
        gains: by the number of patches a side.
    """

    name: str
    gains: Mapping[int, Gain]


def curves(group: Group, cells: CellsOfRows) -> list[Curve]:
    """Those of at least two sizes.

    Args:
        cells: of the report.
    """
    found: dict[str, dict[int, Gain]] = defaultdict(dict)
    for block in group.blocks:
        for row in block.rows:
            names = {
                (split.label(), grid)
                for cell in cells[group.place, block.base, row.refiner]
                for split, grid in [_split(cell.manifest.names.get("refiner"))]
                if grid
            }
            if len(names) == 1 and QUALITY[0].key in row.gains:
                ((rest, grid),) = names
                found[f"{rest} on {block.base}"][grid] = row.gains[QUALITY[0].key]
    return [Curve(name, dict(sorted(gains.items()))) for name, gains in found.items() if len(gains) > 1]


def draw(found: Sequence[Curve]) -> Figure:
    """A line a curve."""
    names = [wrapped(curve.name, 54) for curve in found]
    figure = blank(SINGLE, 2.2 + 0.13 * sum(name.count("\n") + 1 for name in names))
    axes = figure.add_subplot()
    axes.axhline(0, color=GREY, linewidth=0.8)
    handles = []
    for place, curve in enumerate(found):
        mark, colour = _LOOKS[place % len(_LOOKS)]
        # A little apart, so that no interval hides another.
        sides = [2 ** (0.06 * (place - (len(found) - 1) / 2)) / grid for grid in curve.gains]
        handles += axes.plot(
            sides, [100 * gain.mean for gain in curve.gains.values()], f"{mark}-", color=colour, markersize=4
        )
        for side, gain in zip(sides, curve.gains.values(), strict=True):
            if gain.low is not None and gain.high is not None:
                axes.vlines(side, 100 * gain.low, 100 * gain.high, color=colour, linewidth=0.7)
    grids = sorted({grid for curve in found for grid in curve.gains})
    axes.set_xscale("log", base=2)
    axes.set_xticks([1 / grid for grid in grids], ["1" if grid == 1 else f"1/{grid}" for grid in grids])
    axes.set_xlabel("side of a patch, of the map's side")
    axes.set_ylabel("gain in mIoU, points")
    axes.yaxis.set_major_formatter(signed)
    figure.legend(handles, names, loc="outside lower center")
    return figure


def _split(name: VariantName | None) -> tuple[VariantName, int]:
    """The name without its grid, and that; 0 where it has none."""
    text = name.parameters.get("grid", "") if name else ""
    if name is None or not (text.isascii() and text.isdigit()):
        return VariantName(name=""), 0
    rest = {key: value for key, value in name.parameters.items() if key != "grid"}
    return name.model_copy(update={"parameters": rest}), int(text)
