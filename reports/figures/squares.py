"""Where something happens most in a picture: squares that are found by rule, to be drawn as boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.images.webp import VOID

PART = 6
"""A square's side is the longer side of the picture divided by this."""

_HALF = 128
"""The least code of a map that decides for the object."""

MOST = 3
"""Squares of a picture."""


@dataclass(frozen=True)
class Square:
    """One of `squares`.

    Attributes:
        kind: the place of its weights among those given.
        top, left: its first row and column.
        side: in pixels.
        weight: the sum of the weights in it.
    """

    kind: int
    top: int
    left: int
    side: int
    weight: int


def side_of(height: int, width: int) -> int:
    """Of the squares of such a picture, in pixels; they are no longer than its shorter side."""
    return max(1, min(height, width, round(max(height, width) / PART)))


def squares(weights: NDArray[np.int64], least: int = 1, most: int = MOST) -> list[Square]:
    """Of all squares in the picture that of the largest weight, of any kind; then that among those which touch none.

    Of equal ones it is the one whose middle is nearest to the middle of what it holds, then the topmost, leftmost.

    Args:
        weights: ``(K, H, W)`` of K kinds; below 0 they speak against it. Whole numbers, so that sums are exact.
        least: what a square has to weigh.
        most: as many at most.
    """
    side = side_of(*weights.shape[1:])
    sums = np.pad(weights.cumsum(axis=1).cumsum(axis=2), ((0, 0), (1, 0), (1, 0)))
    held = sums[:, side:, side:] - sums[:, :-side, side:] - sums[:, side:, :-side] + sums[:, :-side, :-side]
    free = np.ones(held.shape[1:], bool)
    found: list[Square] = []
    while len(found) < most and free.any():
        allowed = np.where(free, held, np.iinfo(np.int64).min)
        weight = int(allowed.max())
        if weight < least:
            break
        kind = int(np.argmax(allowed.reshape(len(weights), -1).max(axis=1)))
        top, left = _middle(weights[kind], np.argwhere(allowed[kind] == weight), side)
        found.append(Square(kind, top, left, side, weight))
        free[max(0, top - side) : top + side + 1, max(0, left - side) : left + side + 1] = False
    return found


def changes(base: NDArray[np.uint8], refined: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.int64]:
    """``(2, H, W)``: 1 where the refined map decides otherwise than the base's, rightly; and where wrongly.

    Args:
        base, refined: ``(H, W)`` codes, 128 and above is the object.
        truth: ``(H, W)``: 0, 255, or 128 for void, which counts nowhere.
    """
    changed = ((base >= _HALF) != (refined >= _HALF)) & (truth != VOID)
    right = (refined >= _HALF) == (truth > VOID)
    return np.stack([changed & right, changed & ~right]).astype(np.int64)


def errors(codes: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.int64]:
    """``(H, W)``: 255 times the signed error of a map, map minus truth; 0 where the truth is void."""
    found: NDArray[np.int64] = np.where(truth == VOID, 0, codes.astype(np.int64) - np.where(truth > VOID, 255, 0))
    return found


def _middle(weights: NDArray[np.int64], corners: NDArray[np.int64], side: int) -> tuple[int, int]:
    """Of squares that weigh the same."""
    top, left = corners[0]
    inside = np.abs(weights[top : top + side, left : left + side]).astype(np.float64)
    rows, columns = np.indices(inside.shape)
    total = inside.sum() or 1.0
    wanted = np.array([top + (inside * rows).sum() / total, left + (inside * columns).sum() / total]) - (side - 1) / 2
    best = corners[np.argmin(((corners - wanted) ** 2).sum(axis=1))]
    return int(best[0]), int(best[1])
