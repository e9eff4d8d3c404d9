"""Pictures of a store, as WebP: what browsers show, and what is read back as arrays.

A map is kept in 8 bits without loss, so that ``code >= 128`` is ``p >= 0.5``; an image at the size it has, with a loss
that the eye does not see.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from bench.contracts import Image, Mask, ProbabilityMap, UserError

QUALITY = 90
"""Of images."""

VOID, OBJECT = 128, 255
"""Codes of a truth, beside 0 for the background."""

LARGEST = 16383
"""The longest side that WebP knows."""


def image_bytes(image: Image) -> bytes:
    """WebP of a uint8 image ``(H, W, 3)``. Raises UserError where a side is longer than `LARGEST`."""
    return _encoded(image, lossless=False)


def map_bytes(probs: ProbabilityMap) -> bytes:
    """WebP of ``round(255 p)`` for a map ``(H, W)`` in [0, 1]. Raises UserError as `image_bytes`."""
    # In float64 no value under 0.5 reaches 127.5; 127.5 itself is rounded to the even 128.
    return _encoded(np.rint(np.asarray(probs, np.float64) * 255).astype(np.uint8), lossless=True)


def truth_bytes(mask: Mask, ignore: Mask | None = None) -> bytes:
    """WebP of a bool mask ``(H, W)``: 0, `OBJECT`, or `VOID` where ``ignore`` is. Raises UserError as `image_bytes`."""
    codes = np.where(mask, OBJECT, 0).astype(np.uint8)
    if ignore is not None:
        codes[ignore] = VOID
    return _encoded(codes, lossless=True)


def read_rgb(content: bytes) -> Image:
    """uint8 ``(H, W, 3)``."""
    with PillowImage.open(io.BytesIO(content), formats=["WEBP"]) as picture:
        return np.asarray(picture.convert("RGB"))


def read_codes(content: bytes) -> NDArray[np.uint8]:
    """uint8 ``(H, W)`` of a map or a truth, the codes that were written."""
    return np.ascontiguousarray(read_rgb(content)[..., 0])


def _encoded(pixels: NDArray[np.uint8], *, lossless: bool) -> bytes:
    height, width = pixels.shape[:2]
    if max(height, width) > LARGEST:
        said = f"{width} x {height} pixels: a picture that is kept has at most {LARGEST} on a side"
        raise UserError(said, "--keep-maps", "leave it out for this dataset")
    stream = io.BytesIO()
    PillowImage.fromarray(pixels).save(stream, format="WEBP", lossless=lossless, quality=QUALITY)
    return stream.getvalue()
