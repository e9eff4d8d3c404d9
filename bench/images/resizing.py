"""Resizing of images, maps and masks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from bench.contracts import Mask, ProbabilityMap, UserError


def resize(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize an image or a map: area averaging where it shrinks, bilinear where it grows; dtype is kept."""
    if array.shape[:2] == (height, width):
        return array
    shrinks = height * width < array.shape[0] * array.shape[1]
    return cv2.resize(array, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def map_of_size(
    probs: ProbabilityMap, size: tuple[int, ...], where: Path, *, resized: bool, whose: str, say: str
) -> ProbabilityMap:
    """A map of the size of what it belongs to.

    Args:
        size: (height, width) of that.
        where: the map's file.
        resized: resize a map of another size.
        whose: what it belongs to, ``"mask"``.
        say: how one asks for ``resized``.

    Raises:
        UserError: it is of another size, and not to be resized.
    """
    height, width = size
    if probs.shape != size and not resized:
        sizes = f"{probs.shape[1]}x{probs.shape[0]} and its {whose} {width}x{height} pixels (width x height)"
        raise UserError(f"the map is {sizes}", where, f"find out which is the original, or say {say}")
    return resize(probs, height, width)


def resize_mask(mask: Mask, height: int, width: int) -> Mask:
    """Resize a mask by area or bilinear coverage, and binarise again at one half."""
    return resize(mask.astype(np.float32), height, width) >= 0.5
