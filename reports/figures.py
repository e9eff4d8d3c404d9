"""Pictures of a report, drawn by matplotlib without a screen."""

from __future__ import annotations

import io
from typing import Literal

from bench.reports.ranks import Ranking, nemenyi


def critical_difference(found: Ranking, form: Literal["pdf", "png"]) -> bytes:
    """The diagram of Demšar (2006): mean ranks on a line, best at the left, bars over refiners that are not told apart.

    A bar joins refiners whose pairs all have a Nemenyi p of 0.05 or more.

    Returns:
        The file's content.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from scikit_posthocs import critical_difference_diagram

    # No pyplot: it would keep the figure, and choose a backend that may want a screen.
    figure = Figure(figsize=(7, 0.8 + 0.28 * len(found.refiners)))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    ranks = dict(zip(found.refiners, found.ranks.mean(axis=0), strict=True))
    critical_difference_diagram(ranks, nemenyi(found), ax=axes, label_props={"fontsize": 8})
    picture = io.BytesIO()
    # Labels lie beside the axes: the page grows to hold them.
    dates = {"CreationDate": None} if form == "pdf" else None
    figure.savefig(picture, format=form, dpi=200, bbox_inches="tight", metadata=dates)
    return picture.getvalue()
