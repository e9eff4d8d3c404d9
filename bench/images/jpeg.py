"""JPEG files of one scan, as cameras and datasets have them, decoded by OpenCV: Pillow copies the pixels thrice.

Both decode with libjpeg-turbo, to the same pixels. OpenCV fills what a file lacks with grey and goes on, so that only a
file that is all there is given to it: its scan has to end where the picture does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

_START, _SCAN, _END = b"\xff\xd8", 0xDA, b"\xff\xd9"
_FRAMES = (0xC0, 0xC1)
"""Of a picture whose rows come in order; others build up in several scans."""

_ALONE = {0x01, *range(0xD0, 0xDA)}
"""Markers without a length, which do not belong before the scan."""

_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7]")
"""In a scan: what is neither a byte of it nor a mark to restart from."""

_FLAGS = {"RGB": cv2.IMREAD_COLOR_RGB, "L": cv2.IMREAD_GRAYSCALE}


def jpeg_pixels(data: bytes, size: tuple[int, int], mode: Literal["RGB", "L"]) -> NDArray[np.uint8] | None:
    """uint8 ``(H, W, 3)`` or, of a grey file or a colour file's luma, ``(H, W)``; None of what is left to Pillow.

    Args:
        size: (height, width) as stored.
    """
    if not _is_of_one_scan(data):
        return None
    flags = _FLAGS[mode] | cv2.IMREAD_IGNORE_ORIENTATION
    found: NDArray[np.uint8] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    return found if found is not None and found.shape[:2] == size else None


def jpeg_size(head: bytes) -> tuple[int, int] | None:
    """(height, width) of a file that begins so; None where that does not tell, or of what is left to Pillow."""
    for marker, at, end in _segments(head):
        if marker in _FRAMES and end <= len(head):
            height, width = int.from_bytes(head[at + 5 : at + 7], "big"), int.from_bytes(head[at + 7 : at + 9], "big")
            return (height, width) if height and width else None
    return None


def _is_of_one_scan(data: bytes) -> bool:
    """Whether there is one scan alone, of 8 bits, and the end of the picture behind it."""
    framed = False
    for marker, at, end in _segments(data):
        if marker == _SCAN:
            first = _MARKER.search(data, end)
            return framed and first is not None and first.group() == _END
        framed |= marker in _FRAMES and data[at + 4] == 8
    return False


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Of each segment before the pixels its marker, where it begins and where it ends, as far as there are such."""
    at = len(_START) if data.startswith(_START) else len(data)
    while at + 4 < len(data) and data[at] == 0xFF and data[at + 1] not in _ALONE:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield data[at + 1], at, end
        at = end
