"""Critical-difference diagram."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.reports.figures.canvas import BLACK, DOUBLE, Form, blank, rendered, wrapped
from bench.reports.ranks import Ranking, nemenyi

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SAYS = (
    "mean rank over the blocks (a base on a dataset) by mIoU, 1 is best; a bar joins refiners whose pairs all have a "
    "Nemenyi p of 0.05 or more"
)


def critical_difference(found: Ranking, form: Form) -> bytes:
    """The diagram of Demšar (2006): mean ranks on a line, best at the left, bars over refiners that are not told apart.

    A bar joins refiners whose pairs all have a Nemenyi p of 0.05 or more.

    Returns:
        The file's content.
    """
    return rendered(lambda: draw(found), (form,))[form]


def draw(found: Ranking) -> Figure:
    """See `critical_difference`."""
    from scikit_posthocs import critical_difference_diagram

    names = [wrapped(name, 42, lines=2) for name in found.refiners]
    # Two names alike when cut would be one.
    names = [name if names.count(name) == 1 else f"{name} ({place})" for place, name in enumerate(names, 1)]
    figure = blank(DOUBLE, 0.7 + 0.28 * -(-len(names) // 2))  # half of them stand at either side
    axes = figure.add_subplot()
    critical_difference_diagram(
        dict(zip(names, found.ranks.mean(axis=0), strict=True)),
        nemenyi(found).set_axis(names, axis=0).set_axis(names, axis=1),
        ax=axes,
        label_fmt_left="{label} ({rank:.1f}) ",
        label_fmt_right=" ({rank:.1f}) {label}",
        color_palette=[BLACK] * len(names),
        marker_props={"s": 10},
        elbow_props={"linewidth": 0.7},
        text_h_margin=0.1,
    )
    return figure
