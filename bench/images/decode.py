"""A file's numbers, before it is known what they mean: pictures through Pillow, arrays through numpy.

What would be guessed here is refused instead: transparency, several frames, CMYK and other colour spaces.
"""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from bench.contracts import UserError
from bench.images.arrays import SUFFIXES as ARRAY_SUFFIXES
from bench.images.arrays import array_size, read_array
from bench.images.expected import check_expected
from bench.images.jpeg import Frame, jpeg_frame, jpeg_pixels, jpeg_size
from bench.images.png import png_size
from bench.runtime.reading import open_regular

SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".jp2", ".pgm", ".pbm", ".ppm", ".pnm"),
    *ARRAY_SUFFIXES,
)
"""Of the files that are read, lower case."""

Fits: TypeAlias = Callable[[tuple[int, int]], None]

UPRIGHT = 1
"""The EXIF orientation of a picture that is shown as it is stored."""

MOST_PIXELS = 178_956_970
"""Of one file: what Pillow takes, too, before it calls a picture a bomb."""

_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "JPEG2000", "PPM")
"""Pillow knows more, and tells them by their content: PostScript would start a program."""

_UNASKED, _BYTES_A_PIXEL = 2**26, 32
"""A file of more bytes than this has its header looked at before it is read; four channels of 64 bits are no more."""

_EXIF_ORIENTATION = 0x0112
_HEAD = 4096
"""Bytes of a file that hold its headers."""
_LOSSY_TOLERANCE = 3

# Pillow warns from half of it on; and of what it skips in a damaged file, which is said in one line or is not needed.
warnings.filterwarnings("ignore", category=PillowImage.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())


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
        if self.lossy:  # 8 bits each
            spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
            is_grey = spread.max() <= _LOSSY_TOLERANCE
        else:
            is_grey = np.array_equal(red, green) and np.array_equal(green, blue)
        return self.luminance if is_grey else None

    @cached_property
    def luminance(self) -> NDArray[Any]:
        """``(H, W)``: of colours with 8 bits the luma of ITU-R 601, of others the first channel."""
        if self.values.ndim == 2:
            return self.values
        if self.values.dtype != np.uint8:
            return self.values[..., 0]
        return np.array(PillowImage.fromarray(self.values).convert("L"))


def decode(path: Path, fits: Fits = lambda size: None, *, luma: bool = False) -> Raster:
    """Read a file by its suffix. Its bytes are read once: they are what `bench.images.expected` looks at.

    Args:
        path: of the file.
        fits: is asked of (height, width) by the header, before pixels take memory; raises what is wrong with it.
        luma: of a JPEG in colours the luma that it stores will do, without the colours.

    Raises:
        UserError: it is missing, damaged, no regular file or too large, changed since it was planned for, or holds what
            could only be guessed.
    """
    with _told_of(path):
        data = _bytes(path)
        check_expected(path, data)
        if not _is_array(path):
            return _plain(data, path, fits, luma) or _picture(data, path, fits, luma)
        fits(_size(BytesIO(data), path))
        return _array(data, path)


def stored_size(path: Path) -> tuple[int, int]:
    """(height, width) as stored, without EXIF orientation, by the file's header. Raises UserError as `decode`."""
    with _told_of(path), open_regular(path) as file:
        return _size(file, path)


@contextmanager
def _told_of(path: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError("no such file", path, "restore it, or take its id out") from None
    except PillowImage.DecompressionBombError:
        raise _too_large(path) from None
    except UnidentifiedImageError:
        raise UserError("no picture of a type that is read", path, f"write {', '.join(_FORMATS)}, or NPY") from None
    except Exception as error:
        # Decoders raise anything on a damaged file.
        problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"unreadable, {problem}", path, "replace the file, it is damaged or no image") from None


def _bytes(path: Path) -> bytes:
    with open_regular(path) as file:
        length = os.fstat(file.fileno()).st_size
        if length > _UNASKED:
            height, width = _size(file, path)
            if length > _UNASKED + _BYTES_A_PIXEL * height * width:
                fix = "write the picture alone into the file"
                raise UserError(f"{length:,} bytes, for {height * width:,} pixels", path, fix)
            file.seek(0)
        return file.read()


def _is_array(path: Path) -> bool:
    return path.suffix.lower() in ARRAY_SUFFIXES


def _size(file: BinaryIO, path: Path) -> tuple[int, int]:
    if _is_array(path):
        height, width = array_size(file, path)
        if height * width > MOST_PIXELS:
            raise _too_large(path)
        return height, width
    head = file.read(_HEAD)
    size = png_size(head) or jpeg_size(head)
    if size is not None and size[0] * size[1] <= MOST_PIXELS:
        return size
    file.seek(0)
    with _opened(file, path) as picture:
        return picture.height, picture.width


def _opened(file: BinaryIO, path: Path) -> PillowImage.Image:
    """The picture, of which the header alone is read."""
    picture = PillowImage.open(file, formats=_FORMATS)
    if picture.width * picture.height > MOST_PIXELS:
        raise _too_large(path)
    return picture


def _too_large(path: Path) -> UserError:
    return UserError(f"a picture of more than {MOST_PIXELS:,} pixels", path, "cut it into tiles")


def _plain(data: bytes, path: Path, fits: Fits, luma: bool) -> Raster | None:
    """Of a JPEG that is pixels alone; None of what Pillow is to look at."""
    frame = jpeg_frame(data)
    if frame is None or not frame.bare or math.prod(frame.size) > MOST_PIXELS:
        return None
    fits(frame.size)
    return _of_jpeg(data, frame, luma, path)


def _of_jpeg(data: bytes, frame: Frame, luma: bool, path: Path, orientation: int = UPRIGHT) -> Raster | None:
    values = jpeg_pixels(data, frame, luma=luma)
    what = "8-bit" if frame.channels == 1 else "8-bit RGB"
    return None if values is None else Raster(values, path, what, lossy=True, orientation=orientation)


def _picture(data: bytes, path: Path, fits: Fits, luma: bool) -> Raster:
    with _opened(BytesIO(data), path) as picture:
        fits((picture.height, picture.width))
        if getattr(picture, "is_animated", False) and picture.format != "MPO":  # a phone's JPEG with a preview
            raise UserError("several pictures in one file", path, "write one picture a file")
        _refuse_transparency(picture, path)
        known: dict[str, Any] = {
            "path": path,
            "lossy": _is_lossy(picture.format, data[:_HEAD]),
            "orientation": _orientation(picture),
        }
        mode = picture.mode
        frame = jpeg_frame(data)
        if frame is not None and mode in ("L", "RGB"):
            found = _of_jpeg(data, frame, luma, path, known["orientation"])
            if found is not None:
                return found
        if mode in ("P", "PA"):
            index = np.array(picture if mode == "P" else picture.getchannel("P"), np.uint8)
            return Raster(np.array(picture.convert("RGB")), what="palette", index=index, **known)
        if mode == "1":
            return Raster(np.array(picture), what="1-bit", **known)
        if mode in ("L", "LA"):
            return Raster(np.array(picture if mode == "L" else picture.convert("L")), what="8-bit", **known)
        if mode in ("RGB", "RGBA", "RGBX"):
            return Raster(np.array(picture if mode == "RGB" else picture.convert("RGB")), what="8-bit RGB", **known)
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


def _orientation(picture: PillowImage.Image) -> int:
    """EXIF's. A PNG may have it behind its pixels; one that has nothing beside them is not searched for it."""
    if picture.format == "PNG":
        picture.load()
        if not picture.info:
            return UPRIGHT
    found: int = picture.getexif().get(_EXIF_ORIENTATION, UPRIGHT)
    return found


def _is_lossy(format: str | None, head: bytes) -> bool:
    """Whether the file may hold other values than were written."""
    if format in ("JPEG", "MPO"):
        return True
    if format not in ("WEBP", "JPEG2000"):
        return False
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


def _array(data: bytes, path: Path) -> Raster:
    values = read_array(BytesIO(data), path)
    if values.ndim == 3 and values.shape[2] == 4:
        if values.dtype != np.uint8 or not (values[..., 3] == 255).all():
            problem = f"an array of shape {values.shape}"
            raise UserError(problem, path, "save (H, W), or (H, W, 3) for a colour image")
        values = np.ascontiguousarray(values[..., :3])
    return Raster(values, path, what=str(values.dtype))
