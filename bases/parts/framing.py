"""An image of any shape as a square of a given side, and its map back at the image's size."""

from __future__ import annotations

from typing import Literal, TypeAlias

import cv2
import numpy as np
from PIL import Image as Pillow

from bench.contracts import Image, Mask, ProbabilityMap
from bench.images import resize, resize_mask

Framing: TypeAlias = Literal["stretch", "pad", "pad-alike"]
"""``stretch`` changes the proportions; ``pad`` keeps them and centres the image between zeros. ``pad-alike`` gives both
sides margins of as many pixels: where the image's sides differ by an odd number, what is a pixel short of a square is
stretched to one."""

Interpolation: TypeAlias = Literal["area", "cv2-bilinear", "pil-bilinear"]
"""``area``: averaged where it shrinks, bilinear where it grows (`bench.images.resize`). ``cv2-bilinear``: OpenCV's
``INTER_LINEAR``, which looks at four pixels however much it shrinks. ``pil-bilinear``: Pillow's ``BILINEAR``, whose
triangle grows as it shrinks."""


def framed(image: Image, side: int, framing: Framing, interpolation: Interpolation = "area") -> Image:
    """uint8 ``(side, side, 3)``."""
    whole = _padded(image, framing)
    if interpolation == "pil-bilinear":
        return np.asarray(Pillow.fromarray(whole).resize((side, side), Pillow.Resampling.BILINEAR))
    if interpolation == "cv2-bilinear":
        return np.asarray(cv2.resize(whole, (side, side), interpolation=cv2.INTER_LINEAR), np.uint8)
    return resize(whole, side, side)


def framed_mask(mask: Mask, side: int, framing: Framing) -> Mask:
    """bool ``(side, side)``; padding is background."""
    return resize_mask(_padded(mask, framing), side, side)


def unframed(probs: ProbabilityMap, size: tuple[int, int], framing: Framing) -> ProbabilityMap:
    """The map of a framed image, at the image's own rows and columns, in [0, 1]."""
    (above, below), (left, right) = _margins(size, framing)
    rows, columns = size
    whole = resize(probs, above + rows + below, left + columns + right)
    return np.clip(whole[above : above + rows, left : left + columns], 0, 1)


def _padded(array: np.ndarray, framing: Framing) -> np.ndarray:
    if framing == "stretch":
        return array
    margins = _margins(array.shape[:2], framing)
    return np.pad(array, (*margins, *((0, 0),) * (array.ndim - 2)))


def _margins(size: tuple[int, int], framing: Framing) -> tuple[tuple[int, int], tuple[int, int]]:
    """Pixels added above and below, left and right."""
    if framing == "stretch":
        return (0, 0), (0, 0)
    rows, columns = (max(size) - side for side in size)
    odd = 0 if framing == "pad-alike" else 1
    return (rows // 2, (rows + odd) // 2), (columns // 2, (columns + odd) // 2)
