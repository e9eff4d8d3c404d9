"""The size of a PNG file by its first chunk, without Pillow's look at the rest of its headers."""

from __future__ import annotations

import zlib
from struct import Struct

_START = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
_SIZE = Struct(">II")
_CHECKED = slice(12, 29)
"""Where the chunk's kind and content are; behind them is their check sum."""


def png_size(head: bytes) -> tuple[int, int] | None:
    """(height, width) of a file that begins so; None of what is no PNG, or a damaged one."""
    sound = head.startswith(_START) and zlib.crc32(head[_CHECKED]).to_bytes(4, "big") == head[29:33]
    if not sound:
        return None
    width, height = _SIZE.unpack_from(head, len(_START))
    return (height, width) if width and height else None
