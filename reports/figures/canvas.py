"""What all figures share: sizes in print, colours, fonts, how names are written; matplotlib without a screen."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from bench.redaction import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Form: TypeAlias = Literal["pdf", "png"]
FORMS: tuple[Form, ...] = ("pdf", "png")

SINGLE, DOUBLE = 3.3, 6.9
"""Widths of one and of two columns of a paper, in inches."""

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILLION, PURPLE = (
    *("#000000", "#E69F00", "#56B4E9", "#009E73"),
    *("#F0E442", "#0072B2", "#D55E00", "#CC79A7"),
)
"""Okabe and Ito's colours, which the colour-blind tell apart; nothing is told by colour alone."""

GREY = "0.6"
MINUS = "\N{MINUS SIGN}"
FONT, SMALL = 8, 7
"""Points: of headings and axes; of all else."""

ACROSS = 4
"""Panels side by side at most."""

_A_INCH, _LINE = 17, 0.13
"""Characters of `SMALL` print in an inch; height of one line, in inches."""

_MOST_LINES = 4
"""Of a name; longer ones are cut: figures.md has them in full."""

_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture everywhere
    "font.size": SMALL,
    "axes.titlesize": SMALL,
    "axes.labelsize": FONT,
    "figure.labelsize": FONT,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1,
    "text.parse_math": False,  # a name between dollars is no formula
    "pdf.fonttype": 42,  # publishers refuse type 3
    "savefig.dpi": 300,
}


def rendered(draw: Callable[[], Figure], forms: Sequence[Form] = FORMS) -> dict[Form, bytes]:
    """The files' contents. ``draw`` is called once, with the style set, whatever the user's own matplotlibrc says."""
    with _style():
        figure = draw()
        return {form: _content(figure, form) for form in forms}


def blank(width: float, height: float, *, layout: str | None = "constrained") -> Figure:
    """Of a size in inches; with a layout of None the caller places all axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # No pyplot: it would keep the figure, and choose a backend that may want a screen.
    figure = Figure(figsize=(width, height), layout=layout)  # type: ignore[arg-type]
    FigureCanvasAgg(figure)
    return figure


def panels(names: Sequence[str], height: float, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure with a panel a name, which is its title: of one column's width for two of them, of two for more.

    Args:
        names: one panel each.
        height: of a panel in inches, its title aside.
        options: of ``Figure.subplots``.
    """
    across = max(1, min(ACROSS, len(names)))
    down = max(1, -(-len(names) // across))
    width = SINGLE if across < 3 else DOUBLE
    titles = [wrapped(name, int(width / across * _A_INCH)) for name in names]
    lines = [title.count("\n") + 1 for title in titles]
    tall = [height + _LINE * max(lines[begin : begin + across]) for begin in range(0, len(names), across)]
    figure = blank(width, 0.5 + (sum(tall) or height))
    grid = figure.subplots(down, across, squeeze=False, **options).flatten()
    for axes, title in zip(grid, titles, strict=False):
        axes.set_title(title)
    for axes in grid[len(names) :]:
        axes.set_visible(False)
    # What stands above an empty place has its own labels: the panel below, whose they would be, is not there.
    for axes in grid[max(0, len(names) - across) : len(names)]:
        axes.tick_params(labelbottom=True)
    return figure, list(grid[: len(names)])


def wrapped(name: str, width: int, lines: int = _MOST_LINES) -> str:
    """A name in lines of at most ``width`` characters, broken behind its punctuation where that is possible.

    >>> print(wrapped("gated[refiner=prn-fast[size=256,heads=4]]", 16))
    gated[refiner=
    prn-fast[size=
    256,heads=4]]
    """
    pieces = re.findall(rf"[^\s,\[=/_-]{{1,{width - 1}}}[\s,\[=/_-]?|[\s,\[=/_-]", printable(name))
    found = [""]
    for piece in pieces:
        if len(found[-1] + piece.rstrip()) > width:
            found.append("")
        found[-1] += piece
    found = [line.strip() for line in found]
    if len(found) > lines:
        found[lines - 1 :] = [f"{found[lines - 1][: width - 1]}…"]
    return "\n".join(found)


def number(value: float, _: object = None) -> str:
    """Of a tick: as short as it can be said."""
    return f"{value:g}"


def signed(value: float, _: object = None) -> str:
    """Of a tick: with its sign; zero has none."""
    return f"{value:+g}".replace("-", MINUS) if value else "0"


@contextmanager
def _style() -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        # A letter that the font lacks is a box, and the name is in figures.md.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)  # type: ignore[arg-type]  # its keys are literals
        yield


def _content(figure: Figure, form: Form) -> bytes:
    picture = io.BytesIO()
    dates = {"CreationDate": None} if form == "pdf" else None
    figure.savefig(picture, format=form, metadata=dates)
    return picture.getvalue()
