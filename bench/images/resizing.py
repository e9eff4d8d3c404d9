"""Resizing of images, maps and masks."""

from __future__ import annotations

import cv2
import numpy as np

from bench.contracts import Mask


def resize(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize an image or a map: area averaging where it shrinks, bilinear where it grows; dtype is kept."""
    if array.shape[:2] == (height, width):
        return array
    shrinks = height * width < array.shape[0] * array.shape[1]
    return cv2.resize(array, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def resize_mask(mask: Mask, height: int, width: int) -> Mask:
    """Resize a mask by area or bilinear coverage, and binarise again at one half."""
    return resize(mask.astype(np.float32), height, width) >= 0.5
