"""Images: the base's and the refiner's RGB input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL.Image import Transpose

from bench.contracts import Image, UserError
from bench.images.decode import Raster, decode

DIM = 4095
"""A 16-bit picture without a value above this is taken for one of fewer bits: a photograph that dark is rarer."""

ROUNDING = 1e-5
"""How far beyond [0, 1] a float may lie: what rounding does in float16 sums and float32 products."""

_TO_UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""By EXIF orientation; Pillow turns counter-clockwise."""


def read_image(path: Path, *, like: tuple[int, ...] | None = None) -> Image:
    """uint8 ``(H, W, 3)`` RGB; grey and palette files are expanded, 16 bits and floats in [0, 1] brought to 8 bits.

    A picture with an EXIF orientation is turned upright where ``like`` has that shape, and left as it is stored where
    ``like`` has this one.

    Args:
        like: shape of the mask or map that belongs to it; None where there is none, then it is turned.

    Raises:
        UserError: as `bench.images.decode.decode`; its range is unclear; or the orientation fits ``like`` both ways,
            or neither.
    """
    raster = decode(path)
    values = _eight_bits(raster)
    rgb = values if values.ndim == 3 else np.repeat(values[..., None], 3, axis=2)
    return np.ascontiguousarray(_turned(rgb, raster, like))


def _eight_bits(raster: Raster) -> NDArray[np.uint8]:
    values, path = raster.values, raster.path
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype == np.uint8:
        # Most images say with their first row that they are others.
        if values[0].max() <= 1 and values.max() == 1 and values.min() == 0:
            raise UserError("an 8-bit image of 0 and 1 alone", path, "multiply it by 255 if 1 is white")
        return values
    if values.dtype == np.uint16:
        high = values.max()
        if 0 < high <= DIM:
            problem = f"a 16-bit image without a value above {high}"
            raise UserError(problem, path, "write it with 8 bits, or stretched to 0..65535")
        return (values >> 8).astype(np.uint8)  # the high byte, as Pillow has it of 16-bit RGB
    if values.dtype.kind == "f":
        return _of_floats(values, path)
    raise UserError(f"an image of {raster.what} numbers", path, "write it with 8 or 16 bits")


def _of_floats(values: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    low, high = float(values.min()), float(values.max())
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):  # NaN too
        raise UserError(f"an image of floats {low:.6g}..{high:.6g}", path, "write them in [0, 1], or with 8 bits")
    return np.rint(np.clip(values.astype(np.float64), 0, 1) * 255).astype(np.uint8)


def _turned(image: NDArray[np.uint8], raster: Raster, like: tuple[int, ...] | None) -> NDArray[np.uint8]:
    if raster.orientation not in _TO_UPRIGHT:
        return image
    upright = np.array(PillowImage.fromarray(image).transpose(_TO_UPRIGHT[raster.orientation]))
    stored_size, upright_size = image.shape[:2], upright.shape[:2]
    if like is None or (like == upright_size != stored_size):
        return upright
    if like == stored_size != upright_size:
        return image
    turned = f"the image has EXIF orientation {raster.orientation}"
    if like == stored_size:
        problem = f"{turned}, and its mask or map may be of it upright or as it is stored"
        fix = "write the image upright without that tag, and see that the mask lies on it"
        raise UserError(problem, raster.path, fix)
    sizes = f"{_size(upright_size)} upright and {_size(stored_size)} as stored, its mask or map {_size(like)}"
    raise UserError(f"{turned}: {sizes}", raster.path, "write the image upright, and the mask or map of that size")


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
