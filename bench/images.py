"""Images, masks and maps on disk: reading with one-line errors, writing, resizing."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PillowImage

from bench.contracts import Image, Mask, ProbabilityMap, UserError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
MAP_SUFFIXES = (".png", ".npy")

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of RGB in [0, 1]: what networks that start from ImageNet weights are normalised with."""


def _open(path: Path, mode: str | None) -> np.ndarray:
    # Pillow and not OpenCV: OpenCV fills the missing part of a truncated JPEG with grey and goes on.
    try:
        with PillowImage.open(path) as picture:
            return np.array(picture if mode is None else picture.convert(mode))
    except FileNotFoundError:
        raise UserError("no such file", path, "restore it, or take its id out of the split") from None
    except (OSError, SyntaxError, ValueError, PillowImage.DecompressionBombError) as error:
        raise UserError(f"unreadable image, {error}", path, "replace the file, it is damaged or no image") from None


def read_image(path: Path) -> Image:
    """uint8 ``(H, W, 3)`` RGB; grey and palette files are expanded. EXIF rotation is ignored, as masks carry none.

    Raises:
        UserError: the file is missing, truncated or no image.
    """
    return _open(path, "RGB")


def read_grey(path: Path) -> Image:
    """uint8 ``(H, W)``: a mask file before it is binarised. Raises UserError as `read_image`."""
    return _open(path, "L")


def binarise(grey: Image, *, lossy: bool = False) -> Mask:
    """bool ``(H, W)``: ``> 127``, or ``> 0`` for files coded 0/1.

    Args:
        grey: uint8 ``(H, W)``.
        lossy: the file was JPEG, where a 1 is noise and never a code for foreground.
    """
    coded_as_one = not lossy and grey.size > 0 and grey.max() == 1
    return grey > (0 if coded_as_one else 127)


def read_mask(path: Path) -> Mask:
    """bool ``(H, W)``, binarised at native size, before any resize. Raises UserError as `read_image`."""
    return binarise(read_grey(path), lossy=path.suffix.lower() in (".jpg", ".jpeg"))


def read_map(path: Path) -> ProbabilityMap:
    """float32 ``(H, W)`` in [0, 1] from an 8- or 16-bit PNG or an NPY (float in [0, 1], uint8 or uint16).

    Raises:
        UserError: unreadable, not two-dimensional, NaN, or outside [0, 1].
    """
    if path.suffix.lower() == ".npy":
        try:
            raw = np.load(path, allow_pickle=False)
        except FileNotFoundError:
            raise UserError("no such file", path, "restore it, or leave its id out") from None
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"unreadable map, {error}", path, "write it again with numpy.save") from None
    else:
        raw = _open(path, None)
        if raw.ndim == 3 or raw.dtype == bool:
            raw = read_grey(path)
    if raw.ndim != 2:
        raise UserError(f"a map of shape {raw.shape}", path, "store one (H, W) probability map a file")
    scale = {"u1": 255.0, "u2": 65535.0, "i4": 65535.0}.get(raw.dtype.str[1:], 1.0)
    probs = (raw / scale).astype(np.float32) if scale != 1.0 else raw.astype(np.float32)
    check_map(probs, path)
    return probs


def check_map(probs: np.ndarray, where: object) -> None:
    """Raise UserError unless every value is a number in [0, 1]."""
    if not np.isfinite(probs).all():
        bad = int(probs.size - np.isfinite(probs).sum())
        raise UserError(f"a map with {bad} NaN or infinite values", where, "write finite probabilities in [0, 1]")
    if probs.size and (probs.min() < 0 or probs.max() > 1):
        span = f"{probs.min():.4g}..{probs.max():.4g}"
        raise UserError(f"a map with values {span}", where, "store probabilities in [0, 1] (apply the sigmoid)")


def write_map(path: Path, probs: ProbabilityMap) -> None:
    """Write a map as 16-bit PNG: the error is at most 1/131070. Parent folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray(to_uint16(probs)).save(path)


def to_uint16(probs: ProbabilityMap) -> np.ndarray:
    """uint16 codes of a map, rounded to nearest, such that ``>= 0.5`` keeps its meaning.

    0.5 itself lies between the codes 32767 and 32768; it rounds to the even one, 32768.
    """
    codes = np.rint(np.asarray(probs, np.float64) * 65535.0).astype(np.uint16)
    # A float32 just under 0.5 may round up to the code of "foreground": hold it back.
    np.minimum(codes, np.where(probs < np.float32(0.5), 32767, 65535), out=codes, casting="unsafe")
    return codes


def from_uint16(codes: np.ndarray) -> ProbabilityMap:
    """float32 map of uint16 codes."""
    return (codes / np.float32(65535.0)).astype(np.float32)


def resize(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize an image or a map: area averaging where it shrinks, bilinear where it grows; dtype is kept."""
    if array.shape[:2] == (height, width):
        return array
    shrinks = height * width < array.shape[0] * array.shape[1]
    return cv2.resize(array, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def resize_mask(mask: Mask, height: int, width: int) -> Mask:
    """Resize a mask by area or bilinear coverage, and binarise again at one half."""
    return resize(mask.astype(np.float32), height, width) >= 0.5
