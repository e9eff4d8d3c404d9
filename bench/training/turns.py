"""The eight flips and quarter turns of a square, for arrays and tensors alike."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

Array = TypeVar("Array", np.ndarray, Tensor)

TURNS = range(8)
"""0..3: that many quarter turns counter-clockwise; 4..7: 0..3 of them, then a flip of the columns.

A half turn and a flip of the columns (6) are a flip of the rows. A flip of the columns *before* ``k`` quarter turns is
``4 + -k % 4``.
"""


def turned(array: Array, turn: int, axes: tuple[int, int] = (-2, -1)) -> Array:
    """The array with its rows and columns moved.

    Args:
        array: of any shape and dtype.
        turn: of `TURNS`.
        axes: of the rows and of the columns.
    """
    rotated = _library(array).rot90(array, turn % 4, axes)
    return _flipped(rotated, axes) if turn >= 4 else rotated


def turned_back(array: Array, turn: int, axes: tuple[int, int] = (-2, -1)) -> Array:
    """The inverse of `turned`, with the same arguments."""
    return _library(array).rot90(_flipped(array, axes) if turn >= 4 else array, -turn, axes)


def _flipped(array: Array, axes: tuple[int, int]) -> Array:
    return _library(array).flip(array, axes[1:])


def _library(array: np.ndarray | Tensor) -> Any:
    """NumPy or PyTorch: both spell the two functions alike."""
    return torch if isinstance(array, Tensor) else np
