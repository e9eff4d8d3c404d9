"""Gain against what it costs: seconds and memory, with the Pareto front."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from bench.metrics.columns import COSTS, CostFacts
from bench.reports.columns import QUALITY
from bench.reports.figures.canvas import COLOURS, DOUBLE, GREY, blank, number, signed, wrapped
from bench.reports.rows import Row
from bench.reports.tables import Block

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SAYS = (
    "gain in mIoU with its 95 % interval over seconds and over peak memory of refining an image; on the Pareto front "
    "(the line, and the marks that are filled) is what no other matches in both at less cost or with more gain, the "
    "base's own map among them; oracles are left out; rows with ‡, trained on images of the test, do not compete"
)

_SECONDS, _GPU, _, _RSS, _ = COSTS

_MARKS = "os^DvPX<>p*"
"""As many as colours would pair each with one for good; eleven and seven make 77 pairs."""


_INSTANT = 0.001
"""Seconds; below, their axis is linear."""


def pareto(costs: Sequence[float], gains: Sequence[float]) -> list[int]:
    """The points that no other one dominates, by rising cost: none costs no more and gains no less, and differs.

    >>> pareto([3, 1, 2, 2], [5, 1, 1, 4])
    [1, 3, 0]
    """
    front: list[int] = []
    for place in sorted(range(len(costs)), key=lambda place: (costs[place], -gains[place])):
        last = front[-1] if front else None
        if last is None or gains[place] > gains[last] or (costs[place], gains[place]) == (costs[last], gains[last]):
            front.append(place)
    return front


def shown(block: Block, baseline: str) -> list[Row]:
    """The rows to draw: the base's own first; none where nothing has a gain."""
    rows = [row for row in block.rows if row.status == "done" and not row.oracle and row.refiner != baseline]
    own = [row for row in block.rows if row.status == "done" and row.refiner == baseline]
    gaining = [row for row in rows if QUALITY[0].key in row.gains]
    return [*own, *gaining] if own and gaining else []


def memory_of(rows: Iterable[Row]) -> CostFacts:
    """The memory that rows are compared by: two kinds are not for one axis, and it is the GPU's where all have that."""
    return _GPU if all(row.values.get(_GPU.key) is not None for row in rows) else _RSS


def draw(rows: Sequence[Row]) -> Figure:
    """A panel for seconds and one for memory, where that was measured.

    Args:
        rows: see `shown`.
    """
    from matplotlib.lines import Line2D

    memory = memory_of(rows)
    both = any(row.values.get(memory.key) is not None for row in rows)
    names = [wrapped(f"{row.refiner} ‡" if row.contaminated else row.refiner, 37) for row in rows]
    names[0] += " (the base's own map)"
    looks = list(zip(itertools.cycle(_MARKS), itertools.cycle(COLOURS), range(len(rows)), strict=False))
    across = 3
    down = -(-len(names) // across)
    tall = max(sum(name.count("\n") + 1.4 for name in names[k : k + down]) for k in range(0, len(names), down))
    figure = blank(DOUBLE, 2.7 + 0.12 * tall)
    left, *right = figure.subplots(1, 2 if both else 1, sharey=True, squeeze=False)[0]
    _panel(left, rows, _SECONDS.key, looks)
    left.set_xscale("symlog", linthresh=_INSTANT, linscale=0.4)  # the base's own map costs next to nothing
    left.xaxis.set_major_formatter(number)
    left.set_xlim(left=0)
    left.set_xlabel("seconds an image (median)")
    left.set_ylabel("gain in mIoU, points")
    for axes in right:
        _panel(axes, rows, memory.key, looks)
        axes.set_xlabel("peak GPU memory, MB (torch)" if memory is _GPU else "peak resident memory, MB")
        axes.xaxis.set_major_formatter(number)
    handles = [Line2D([], [], linestyle="", **_look(mark, colour)) for mark, colour, _ in looks]
    figure.legend(handles, names, loc="outside lower center", ncols=across, columnspacing=1, handletextpad=0.3)
    return figure


def _panel(axes: Axes, rows: Sequence[Row], key: str, looks: Sequence[tuple[str, str, int]]) -> None:
    costs = {k: row.values[key] for k, row in enumerate(rows)}
    known = {k: cost for k, cost in costs.items() if cost is not None}
    able = [k for k in known if not rows[k].contaminated]
    front = [able[place] for place in pareto([known[k] for k in able], [_gain(rows[k]) for k in able])]
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.step([known[k] for k in front], [_gain(rows[k]) for k in front], where="post", color=GREY, zorder=1)
    for k, cost in known.items():
        mark, colour, _ = looks[k]
        found = rows[k].gains.get(QUALITY[0].key)
        if found is not None and found.low is not None and found.high is not None:
            axes.vlines(cost, 100 * found.low, 100 * found.high, color=colour, linewidth=0.7, zorder=2)
        axes.plot(cost, _gain(rows[k]), **_look(mark, colour, filled=k in front), zorder=3, clip_on=False)
    axes.yaxis.set_major_formatter(signed)


def _look(mark: str, colour: str, *, filled: bool = False) -> dict[str, Any]:
    face = colour if filled else "white"
    return {"marker": mark, "color": colour, "markerfacecolor": face, "markersize": 5, "markeredgewidth": 1}


def _gain(row: Row) -> float:
    """In points; the base's own is none."""
    return 100 * row.gains[QUALITY[0].key].mean if row.gains else 0.0
