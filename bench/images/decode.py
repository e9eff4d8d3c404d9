"""A file's numbers, before it is known what they mean: pictures through Pillow, arrays through numpy.

What would be guessed here is refused instead: transparency, several frames, CMYK and other colour spaces.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from bench.contracts import UserError

ARRAY_SUFFIXES = (".npy", ".npz")
SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".jp2", ".pgm", ".pbm", ".ppm", ".pnm"),
    *ARRAY_SUFFIXES,
)
"""Of the files that are read, lower case."""

UPRIGHT = 1
"""The EXIF orientation of a picture that is shown as it is stored."""

_EXIF_ORIENTATION = 0x0112
_HEAD = 4096
"""Bytes of a file that hold its headers."""
_LOSSY_TOLERANCE = 3

# Pictures of up to twice Pillow's limit are read; what is beyond raises an error.
warnings.filterwarnings("ignore", category=PillowImage.DecompressionBombWarning)


@dataclass(frozen=True)
class Raster:
    """What a file holds.

    Attributes:
        values: ``(H, W)``, or ``(H, W, 3)`` for colours; bool, any integer or any float.
        path: the file.
        what: its pixels in words, e.g. ``"16-bit"``.
        lossy: values may be off by a few codes, as in JPEG.
        index: uint8 ``(H, W)``, of a palette file.
        orientation: EXIF's, 1 to 8.
    """

    values: NDArray[Any]
    path: Path
    what: str
    lossy: bool = False
    index: NDArray[np.uint8] | None = None
    orientation: int = UPRIGHT

    @cached_property
    def grey(self) -> NDArray[Any] | None:
        """``(H, W)`` where it has no colours, of three equal channels their value; else None."""
        if self.values.ndim == 2:
            return self.values
        red, green, blue = (self.values[..., channel] for channel in range(3))
        spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
        return self.luminance if spread.max() <= (_LOSSY_TOLERANCE if self.lossy else 0) else None

    @cached_property
    def luminance(self) -> NDArray[Any]:
        """``(H, W)``: of colours with 8 bits the luma of ITU-R 601, of others the first channel."""
        if self.values.ndim == 2:
            return self.values
        if self.values.dtype != np.uint8:
            return self.values[..., 0]
        return np.array(PillowImage.fromarray(self.values).convert("L"))


def decode(path: Path) -> Raster:
    """Read a file by its suffix.

    Raises:
        UserError: it is missing, damaged, or holds what could only be guessed.
    """
    try:
        return _array(path) if path.suffix.lower() in ARRAY_SUFFIXES else _picture(path)
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError("no such file", path, "restore it, or take its id out") from None
    except PillowImage.DecompressionBombError:
        most = 2 * (PillowImage.MAX_IMAGE_PIXELS or 0)
        raise UserError(f"a picture of more than {most:,} pixels", path, "cut it into tiles") from None
    except Exception as error:
        # Decoders raise anything on a damaged file.
        problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"unreadable, {problem}", path, "replace the file, it is damaged or no image") from None


def _picture(path: Path) -> Raster:
    # Pillow and not OpenCV: OpenCV fills the missing part of a truncated JPEG with grey and goes on.
    with PillowImage.open(path) as picture:
        frames = getattr(picture, "n_frames", 1)
        if frames > 1 and picture.format != "MPO":  # a phone's JPEG with a preview
            raise UserError(f"{frames} pictures in one file", path, "write one picture a file")
        _refuse_transparency(picture, path)
        known: dict[str, Any] = {
            "path": path,
            "lossy": _is_lossy(picture.format, path),
            "orientation": picture.getexif().get(_EXIF_ORIENTATION, UPRIGHT),
        }
        mode = picture.mode
        if mode in ("P", "PA"):
            index = np.array(picture if mode == "P" else picture.getchannel("P"), np.uint8)
            return Raster(np.array(picture.convert("RGB")), what="palette", index=index, **known)
        if mode == "1":
            return Raster(np.array(picture), what="1-bit", **known)
        if mode in ("L", "LA"):
            return Raster(np.array(picture.convert("L")), what="8-bit", **known)
        if mode in ("RGB", "RGBA", "RGBX"):
            return Raster(np.array(picture.convert("RGB")), what="8-bit RGB", **known)
        if mode.startswith("I;16"):
            return Raster(np.array(picture).astype(np.uint16), what="16-bit", **known)
        if mode == "I":
            values = np.array(picture)
            if picture.format == "PPM":  # 16-bit PGM
                return Raster(values.astype(np.uint16), what="16-bit", **known)
            return Raster(values, what="32-bit integer", **known)
        if mode == "F":
            return Raster(np.array(picture), what="float", **known)
        raise UserError(f"a picture in {mode}", path, "convert it to grey or RGB")


def _is_lossy(format: str | None, path: Path) -> bool:
    """Whether the file may hold other values than were written."""
    if format in ("JPEG", "MPO"):
        return True
    if format not in ("WEBP", "JPEG2000"):
        return False
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if format == "WEBP":
        return b"VP8L" not in head  # the name of the lossless stream
    coding_style = head.find(b"\xff\x52")
    return coding_style < 0 or head[coding_style + 13 : coding_style + 14] != b"\x01"  # the reversible wavelet


def _refuse_transparency(picture: PillowImage.Image, path: Path) -> None:
    if not picture.has_transparency_data:
        return
    alpha = picture.convert("RGBA").getchannel("A")
    if alpha.getextrema()[0] != 255:
        raise UserError("transparent pixels", path, "flatten the picture: what lies under them is anyone's guess")


def _array(path: Path) -> Raster:
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.lib.npyio.NpzFile):
        with loaded:
            if len(loaded.files) != 1:
                raise UserError(f"{len(loaded.files)} arrays in one file", path, "save one array a file")
            values = loaded[loaded.files[0]]
    else:
        values = loaded
    if values.dtype.kind not in "buif":
        raise UserError(f"an array of {values.dtype}", path, "save bool, integer or float numbers")
    shape = values.shape
    if len(shape) == 3 and 1 in (shape[0], shape[2]):
        values = values[0] if shape[0] == 1 else values[..., 0]
    if values.ndim == 3 and shape[2] == 4 and values.dtype == np.uint8 and (values[..., 3] == 255).all():
        values = values[..., :3]
    if values.size == 0 or not (values.ndim == 2 or (values.ndim == 3 and values.shape[2] == 3)):
        raise UserError(f"an array of shape {shape}", path, "save (H, W), or (H, W, 3) for a colour image")
    native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    return Raster(native, path, what=str(native.dtype))
