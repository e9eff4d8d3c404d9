"""What a base says of itself: where its network comes from, what it sees, how it is trained."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.training import Preprocessing, Recipe
from bench.training.preprocessing import IMAGENET


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a network comes from.

    Attributes:
        paper: authors, venue and year.
        code: repository of the authors', or of the library that computes it; "" where there is none.
        licence: of that code; ours is written from its description.
    """

    paper: str
    code: str = ""
    licence: str = "no code published"

    def __str__(self) -> str:
        return f"{self.paper}; {self.code or 'no code'}: {self.licence}"


def input_text(side: int, preprocessing: Preprocessing) -> str:
    """A network's input in words: side in pixels, order of channels, normalisation."""
    mean, std = _short(preprocessing.mean), _short(preprocessing.std)
    scaling = "ImageNet mean/std" if preprocessing == IMAGENET else f"mean {mean}, std {std}"
    return f"{side} x {side} px {'BGR' if preprocessing.bgr else 'RGB'}, {scaling}"


def recipe_text(recipe: Recipe, loss: Callable[..., Any], crop: int) -> str:
    """A recipe in words, the loss by the first line of its docstring.

    Args:
        crop: side of the crops that are trained on, in pixels; 0 for none.
    """
    learnt = (inspect.getdoc(loss) or "").partition("\n")[0].rstrip(".")
    rate = f"{recipe.optimizer} {recipe.lr:g}, {recipe.schedule}"
    crops = f", crops of {crop} px" if crop else ""
    return f"{learnt}; {rate}; {recipe.epochs} epochs of batch {recipe.batch * recipe.accumulate}{crops}"


def _short(values: Sequence[float]) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else "/".join(f"{value:g}" for value in values)
