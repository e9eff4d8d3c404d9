"""What the files of a folder have in common: told by a sample of them, and held against each file that is read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SAMPLE = 50
"""Files that a folder's coding is told from."""

SOFT = 32
"""With more distinct values than this a file is soft (probabilities, blurred edges); class numbers are fewer."""

CLASSES = 32
"""Codes below this may be class numbers."""


def sample(files: Sequence[Path]) -> list[Path]:
    """Up to `SAMPLE` of the files: the same ones whatever their order, and no prefix of it."""
    return sorted(files, key=lambda path: hashlib.blake2b(path.name.encode(), digest_size=8).digest())[:SAMPLE]


def distinct(values: NDArray[Any]) -> NDArray[Any]:
    """The values that occur, sorted: `numpy.unique`, but without a sort where the dtype is small."""
    if values.dtype not in (np.uint8, np.uint16) or not values.size:
        return np.unique(values)
    high = values.max()
    above = np.count_nonzero(values != 0)
    if np.count_nonzero(values == high) == above:  # as in most masks
        return np.unique(np.array([high, 0 if above < values.size else high], values.dtype))
    if values.dtype == np.uint8:
        counts = cv2.calcHist([np.ascontiguousarray(values)], [0], None, [256], [0, 256])
    else:
        counts = np.bincount(values.ravel())
    return np.flatnonzero(counts).astype(values.dtype)


def has_regions(values: NDArray[Any], low: int, high: int, tolerance: int = 0) -> bool:
    """Whether there are 3x3 neighbourhoods of one value in low..high: regions, and not the soft edge of one.

    Args:
        values: ``(H, W)``.
        tolerance: how far the nine may differ.
    """
    inner = (slice(1, -1), slice(1, -1))  # where all nine are there
    exact = values.astype(np.float32)  # OpenCV knows no wide integers; codes are below 2^24
    inside = ((exact >= low) & (exact <= high))[inner]
    if not inside.any():
        return False
    square = np.ones((3, 3), np.uint8)
    spread = (cv2.dilate(exact, square) - cv2.erode(exact, square))[inner]
    return bool((spread[inside] <= tolerance).any())
