"""What an image and its mask are like: the facts that results are split by."""

from __future__ import annotations

import math

import cv2
import numpy as np
from scipy import ndimage

from bench.contracts import Image, Mask

SURROUNDINGS = 15
"""Pixels around an object that its contrast is measured against."""

_EIGHT = np.ones((3, 3), dtype=int)


def facts(image: Image, mask: Mask, ignore: Mask | None = None) -> dict[str, float]:
    """The facts of one image, by name; NaN where one is undefined, as of an empty mask.

    Args:
        image: uint8 ``(H, W, 3)`` RGB.
        mask: bool ``(H, W)``, the ground truth.
        ignore: bool ``(H, W)``, void pixels, which belong to neither object nor surroundings; None for none.

    Returns:
        ``pixels``: those that are not void. ``size``: the object's share of them, 0..1. ``components``: number of
        8-connected parts of it. ``width``: its area over its boundary in pixels, the boundary being its pixels that
        touch another one by an edge; thin structures have a small one, a line of one pixel 1. ``contrast``: distance
        in CIELAB between the mean colours of the object and of its surroundings (the pixels within `SURROUNDINGS` of
        it).
    """
    counted = np.ones_like(mask) if ignore is None else ~ignore
    area, pixels = int(mask.sum()), int(counted.sum())
    found = {"pixels": float(pixels), "size": area / pixels if pixels else math.nan}
    if not area:
        return found | {"components": 0.0, "width": math.nan, "contrast": math.nan}
    # What lies beyond the image is taken for the object's own: its cut is no boundary.
    boundary = int((mask & ~ndimage.binary_erosion(mask, border_value=1)).sum())
    near = ndimage.distance_transform_edt(~mask) <= SURROUNDINGS
    return found | {
        "components": float(ndimage.label(mask, structure=_EIGHT)[1]),
        "width": area / boundary if boundary else math.nan,
        "contrast": _contrast(image, mask, near & ~mask & counted),
    }


def _contrast(image: Image, inside: Mask, outside: Mask) -> float:
    if not outside.any():
        return math.nan
    lab = cv2.cvtColor(np.asarray(image, np.float32) / 255, cv2.COLOR_RGB2LAB)
    return float(np.linalg.norm(lab[inside].mean(axis=0) - lab[outside].mean(axis=0)))
