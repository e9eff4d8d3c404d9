"""An image of any shape as a square of a given side, and its map back at the image's size."""

from __future__ import annotations

from typing import Literal

import numpy as np

from bench.contracts import Image, Mask, ProbabilityMap
from bench.images import resize, resize_mask

Framing = Literal["stretch", "pad"]
"""``stretch`` changes the proportions; ``pad`` keeps them and centres the image between zeros."""


def framed(image: Image, side: int, framing: Framing) -> Image:
    """uint8 ``(side, side, 3)``."""
    return resize(image if framing == "stretch" else _padded(image), side, side)


def framed_mask(mask: Mask, side: int, framing: Framing) -> Mask:
    """bool ``(side, side)``; padding is background."""
    return resize_mask(mask if framing == "stretch" else _padded(mask), side, side)


def unframed(probs: ProbabilityMap, size: tuple[int, int], framing: Framing) -> ProbabilityMap:
    """The map of a framed image, at the image's own rows and columns, in [0, 1]."""
    rows, columns = size
    if framing == "stretch":
        return np.clip(resize(probs, rows, columns), 0, 1)
    side = max(size)
    top, left = _corner(size)
    whole = resize(probs, side, side)
    return np.clip(whole[top : top + rows, left : left + columns], 0, 1)


def _padded(array: np.ndarray) -> np.ndarray:
    rows, columns = array.shape[:2]
    side = max(rows, columns)
    top, left = _corner((rows, columns))
    square = np.zeros((side, side, *array.shape[2:]), array.dtype)
    square[top : top + rows, left : left + columns] = array
    return square


def _corner(size: tuple[int, int]) -> tuple[int, int]:
    rows, columns = size
    side = max(size)
    return (side - rows) // 2, (side - columns) // 2
