"""Single images before and after, as the paper's Figures 1 and 4 have them, with boxes that a rule places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Image, UserError
from bench.images.webp import read_codes, read_rgb
from bench.metrics.bias import BIASED
from bench.reports.figures.canvas import BLACK, DOUBLE, FONT, MINUS, ORANGE, SKY, SMALL, blank, wrapped
from bench.reports.figures.choice import Choice
from bench.reports.figures.squares import MOST, PART, Square, changes, errors, side_of, squares
from bench.reports.statistics import points
from bench.store import Store
from bench.store.kept import KeptImage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIDE = f"squares of 1/{PART} of the longer side"

OF_CHANGES = (
    f"Boxes: up to {MOST} {_SIDE}, apart from each other, in which most pixels changed sides of 0.5: solid orange "
    "where they became right, dashed blue where they became wrong."
)
OF_BIAS = (
    f"Boxes: up to {MOST} {_SIDE}, apart from each other, in which the base map is most biased, by the mean of map "
    f"minus truth where that is beyond {BIASED:g}: dashed blue where too low, solid orange where too high; the numbers "
    "are that mean, before and after."
)

_LABELS = 0.72
"""Inches, left of the pictures."""

_GAP = 0.04
_FLATTEST, _TALLEST = 0.4, 1.4
"""Height over width of the place that a picture has."""


@dataclass(frozen=True)
class Example:
    """One row.

    Attributes:
        choice: which image it is, and why.
        kept: its pictures' names.
        store: where they are.
    """

    choice: Choice
    kept: KeptImage
    store: Store

    @cached_property
    def image(self) -> Image:
        return read_rgb(self.store.picture(self.kept.image))

    @cached_property
    def codes(self) -> dict[Literal["truth", "base", "refined"], NDArray[np.uint8]]:
        """Each ``(H, W)``. Raises UserError where they are not of one size, or a file is damaged or missing."""
        found = {
            part: read_codes(self.store.picture(getattr(self.kept, part))) for part in ("truth", "base", "refined")
        }
        if len({codes.shape for codes in found.values()}) > 1:
            raise UserError("its pictures are not of one size", self.choice.id, "run again with --keep-maps")
        return found  # type: ignore[return-value]


Panel = Callable[[Example], NDArray[np.uint8]]


def _masked(part: Literal["base", "refined"], example: Example) -> NDArray[np.uint8]:
    return np.where(example.codes[part] >= 128, 255, 0).astype(np.uint8)


_IMAGE: tuple[str, Panel] = ("image", lambda example: example.image)
_BASE: tuple[str, Panel] = ("base map", lambda example: example.codes["base"])
_REFINED: tuple[str, Panel] = ("refined map", lambda example: example.codes["refined"])
_TRUTH: tuple[str, Panel] = ("truth", lambda example: example.codes["truth"])
_BASE_MASK: tuple[str, Panel] = ("base mask", partial(_masked, "base"))
_REFINED_MASK: tuple[str, Panel] = ("refined mask", partial(_masked, "refined"))


def changed(examples: Sequence[Example]) -> Figure:
    """Figure 4 of the paper in form: a row an image; maps are grey, white is 1."""
    columns = (_IMAGE, _BASE, _BASE_MASK, _REFINED, _REFINED_MASK, _TRUTH)
    figure, rows = _sheet(examples, columns, OF_CHANGES)
    for example, axes in zip(examples, rows, strict=True):
        codes = example.codes
        for square in squares(changes(codes["base"], codes["refined"], codes["truth"])):
            for each in axes[1:]:
                _box(each, square, wrong=square.kind == 1)
    return figure


def biased(examples: Sequence[Example]) -> Figure:
    """Figure 1 of the paper in form: where the base map is too low and too high, and what the refiner leaves of it."""
    figure, rows = _sheet(examples, (_IMAGE, _BASE, _REFINED, _TRUTH), OF_BIAS)
    for example, axes in zip(examples, rows, strict=True):
        before, after = (errors(example.codes[part], example.codes["truth"]) for part in ("base", "refined"))
        side = side_of(*before.shape)
        for square in squares(np.stack([before, -before]), least=int(255 * BIASED * side**2) + 1):
            for each in axes[1:]:
                _box(each, square, wrong=square.kind == 1)
            inside = np.s_[square.top : square.top + side, square.left : square.left + side]
            for each, found in zip(axes[1:3], (before, after), strict=True):
                _write_in(each, square, found[inside].mean() / 255)
    return figure


def _sheet(
    examples: Sequence[Example], columns: Sequence[tuple[str, Panel]], says: str
) -> tuple[Figure, list[list[Axes]]]:
    """The pictures, each row with what its image is, and the sentence below them."""
    wide = (DOUBLE - _LABELS) / len(columns) - _GAP
    shapes = [example.codes["truth"].shape for example in examples]
    tall = [wide * min(max(height / width, _FLATTEST), _TALLEST) for height, width in shapes]
    sentence = wrapped(says, 130)
    head, foot = 0.2, 0.06 + 0.12 * (sentence.count("\n") + 1)
    whole = head + sum(tall) + _GAP * len(tall) + foot
    figure = blank(DOUBLE, whole, layout=None)
    rows: list[list[Axes]] = []
    top = whole - head
    for example, height in zip(examples, tall, strict=True):
        top -= height
        figure.text(0.02 / DOUBLE, (top + height / 2) / whole, _label(example.choice), va="center")
        rows.append([])
        for place, (_, panel) in enumerate(columns):
            left = _LABELS + place * (wide + _GAP)
            axes = figure.add_axes((left / DOUBLE, top / whole, wide / DOUBLE, height / whole))
            axes.imshow(panel(example), cmap="gray", vmin=0, vmax=255)
            axes.set(xticks=[], yticks=[])
            rows[-1].append(axes)
        top -= _GAP
    for axes, (title, _) in zip(rows[0], columns, strict=True):
        axes.set_title(title, fontsize=FONT, pad=3)
    figure.text(0.02 / DOUBLE, 0.02 / whole, sentence, va="bottom")
    return figure, rows


def _label(choice: Choice) -> str:
    return f"{choice.name}\n{points(choice.gain).replace('-', MINUS)} points\nrank {choice.rank}\nof {choice.images}"


def _box(axes: Axes, square: Square, *, wrong: bool) -> None:
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import Normal, Stroke

    # Cased in black, it is seen on white as on grey.
    colour, dashes = (SKY, (0, (2.5, 1.2))) if wrong else (ORANGE, "-")
    box = Rectangle(
        (square.left - 0.5, square.top - 0.5),
        square.side,
        square.side,
        fill=False,
        edgecolor=colour,
        linestyle=dashes,
        path_effects=[Stroke(linewidth=2.2, foreground=BLACK, alpha=0.6), Normal()],
    )
    axes.add_patch(box)


def _write_in(axes: Axes, square: Square, error: float) -> None:
    """The number, at the bottom of its box: beside it, it might lie in another one."""
    from matplotlib.patheffects import Normal, Stroke

    axes.annotate(
        f"{error:+.2f}".replace("0.", ".", 1).replace("-", MINUS),
        (square.left + (square.side - 1) / 2, square.top + square.side),
        (0, 1.5),
        textcoords="offset points",
        annotation_clip=False,  # a box at the lower border has its number, too
        ha="center",
        va="bottom",
        color="white",
        fontsize=SMALL,
        path_effects=[Stroke(linewidth=1.6, foreground=BLACK), Normal()],
    )
