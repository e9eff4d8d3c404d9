"""Resizing of images, maps and masks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from bench.contracts import Mask, UserError


def resize(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize an image or a map: area averaging where it shrinks, bilinear where it grows; dtype is kept."""
    if array.shape[:2] == (height, width):
        return array
    shrinks = height * width < array.shape[0] * array.shape[1]
    return cv2.resize(array, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def check_map_size(found: tuple[int, ...], wanted: tuple[int, ...], where: Path, *, whose: str, say: str) -> None:
    """Whether a map may stay as it is.

    Args:
        found, wanted: (height, width) of the map, and of what it belongs to.
        where: the map's file.
        whose: what it belongs to, ``"mask"``.
        say: how one asks for it to be resized.

    Raises:
        UserError: the two differ.
    """
    if found != wanted:
        sizes = f"{found[1]}x{found[0]} and its {whose} {wanted[1]}x{wanted[0]} pixels (width x height)"
        raise UserError(f"the map is {sizes}", where, f"find out which is the original, or say {say}")


def resize_mask(mask: Mask, height: int, width: int) -> Mask:
    """Resize a mask by area or bilinear coverage, and binarise again at one half."""
    return resize(mask.astype(np.float32), height, width) >= 0.5
