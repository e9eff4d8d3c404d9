"""PNG files that hold one grey channel and no more, as most masks and maps do, without Pillow's look at every chunk.

Pillow's own decoder makes the pixels, of the same bytes. A file that is anything else, or damaged, is left to Pillow.
"""

from __future__ import annotations

import zlib
from struct import Struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

_HEAD = 33
"""Bytes of a file down to the end of its first chunk, which has the size."""

_START = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_HEADER = Struct(">IIBBBBB")
_LENGTH = Struct(">I4s")
_PLAIN = {b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"bKGD", b"tIME"}
"""Chunks that change no pixel and no orientation."""

_CODINGS = {1: ("1", "1"), 8: ("L", "L"), 16: ("I;16", "I;16B")}
"""By the bits of a grey pixel: Pillow's name of what it decodes to, and of what is in the file."""


class Header(NamedTuple):
    """What a PNG begins with."""

    width: int
    height: int
    bits: int
    colour: int
    compression: int
    filtering: int
    interlaced: int

    @property
    def is_grey(self) -> bool:
        """Whether `grey_pixels` may have something of it."""
        return self.bits in _CODINGS and self[3:] == (0, 0, 0, 0)


def header(head: bytes) -> Header | None:
    """Of a file that begins so; None of what is no PNG, or a damaged one."""
    if not head.startswith(_START) or len(head) < _HEAD or not _is_whole(head, 12, _HEAD - 4):
        return None
    found = Header(*_HEADER.unpack_from(head, len(_START)))
    return found if found.width and found.height else None


def grey_pixels(data: bytes, found: Header) -> NDArray[Any] | None:
    """``(H, W)``, read-only: bool, uint8 or uint16, by the file's bits; None of a file that is left to Pillow.

    Args:
        found: its header, which `Header.is_grey`.
    """
    stream = _stream(data)
    if stream is None:
        return None
    mode, stored = _CODINGS[found.bits]
    try:
        picture = PillowImage.frombytes(mode, (found.width, found.height), stream, "zip", stored, 0)
    except ValueError:  # of too few bytes or broken ones: Pillow has words for what is wrong
        return None
    return np.asarray(picture)


def _stream(data: bytes) -> bytes | None:
    """The compressed pixels; None where there are chunks that may mean something, or that are damaged."""
    parts, at, ended = [], _HEAD, False
    while at + 12 <= len(data):
        length, kind = _LENGTH.unpack_from(data, at)
        end = at + 8 + length
        if kind == b"IDAT":
            if ended or end + 4 > len(data):
                return None
            parts.append(data[at + 8 : end])
        elif kind == b"IEND":
            return parts[0] if len(parts) == 1 else b"".join(parts) or None
        elif kind in _PLAIN and _is_whole(data, at + 4, end):
            ended = bool(parts)
        else:
            return None
        at = end + 4
    return None


def _is_whole(data: bytes, start: int, end: int) -> bool:
    """Whether the check sum behind a chunk's kind and content is theirs."""
    return zlib.crc32(data[start:end]).to_bytes(4, "big") == data[end : end + 4]
