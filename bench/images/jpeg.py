"""JPEG files of one scan, as cameras and datasets have them, decoded by OpenCV: Pillow copies the pixels thrice.

Both decode with libjpeg-turbo, to the same pixels. OpenCV fills what a file lacks with grey and goes on, so that only a
file that is all there is given to it: its scan has to end where the picture does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

_START, _SCAN, _END = b"\xff\xd8", 0xDA, b"\xff\xd9"
_FRAMES = (0xC0, 0xC1)
"""Of a picture whose rows come in order; others build up in several scans."""

_FRAME = Struct(">HHBHHB")
"""Its marker and length, bits, height, width and channels."""

_ALONE = {0x01, *range(0xD0, 0xDA)}
"""Markers without a length, which do not belong before the scan."""

_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7]")
"""In a scan: what is neither a byte of it nor a mark to restart from."""

_BARE = {*_FRAMES, 0xC4, 0xDB, 0xDD, 0xE0, 0xFE}
"""Segments that say how the pixels are coded, JFIF's own and comments."""


class Frame(NamedTuple):
    """What a file's only scan holds.

    Attributes:
        size: (height, width) as stored.
        channels: 1, or 3 of colours; others are not told of.
        bare: there is nothing beside the pixels: no EXIF, no further picture, no other colours.
    """

    size: tuple[int, int]
    channels: int
    bare: bool


def jpeg_frame(data: bytes) -> Frame | None:
    """Of a file that has one scan alone, of 8 bits, and the end of the picture behind it; None of any other."""
    found, bare = None, True
    for marker, at, end in _segments(data):
        if marker in _FRAMES:
            found = _frame(data[at:end])
        elif marker == _SCAN:
            first = _MARKER.search(data, end)
            whole = found is not None and first is not None and first.group() == _END
            return Frame(*found, bare) if found is not None and whole else None
        bare &= marker in _BARE
    return None


def jpeg_size(head: bytes) -> tuple[int, int] | None:
    """(height, width) of a file that begins so; None where that does not tell, or of what is left to Pillow."""
    frames = (_frame(head[at:end]) for marker, at, end in _segments(head) if marker in _FRAMES)
    found = next(frames, None)
    return None if found is None else found[0]


def jpeg_pixels(data: bytes, frame: Frame, *, luma: bool) -> NDArray[np.uint8] | None:
    """uint8 ``(H, W, 3)`` or, of a grey file or of a colour file's luma, ``(H, W)``; None of what is left to Pillow."""
    flags = cv2.IMREAD_GRAYSCALE if luma or frame.channels == 1 else cv2.IMREAD_COLOR_RGB
    found: NDArray[np.uint8] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    return found if found is not None and found.shape[:2] == frame.size else None


def _frame(segment: bytes) -> tuple[tuple[int, int], int] | None:
    """(height, width) and channels of a frame's segment; None of one that is odd, or cut."""
    if len(segment) < _FRAME.size:
        return None
    _, length, bits, height, width, channels = _FRAME.unpack_from(segment)
    sound = bits == 8 and height and width and channels in (1, 3) and length == len(segment) - 2 == 8 + 3 * channels
    return ((height, width), channels) if sound else None


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Of each segment before the pixels its marker, where it begins and where it ends, as far as there are such."""
    at = len(_START) if data.startswith(_START) else len(data)
    while at + 4 < len(data) and data[at] == 0xFF and data[at + 1] not in _ALONE:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield data[at + 1], at, end
        at = end
