"""Ways to damage bytes."""

from __future__ import annotations

import random
import struct
import zlib

_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_WIDTHS = {1: "B", 2: "H", 4: "I", 8: "Q"}


def damaged(data: bytes, rng: random.Random) -> bytes:
    """One to three damages, one after the other; now and then none."""
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        data = rng.choice((_flips, _number, _number, _cut, _filled, _taken_out, _doubled, _inserted, _moved))(data, rng)
    return data if rng.random() > 0.02 else rng.randbytes(rng.randrange(300))


def png_with(data: bytes, rng: random.Random) -> bytes:
    """A PNG whose header lies, with a checksum that holds."""
    head = bytearray(data[16:29])  # width, height, depth, colour, three more
    place = rng.randrange(13)
    if place < 8 and rng.random() < 0.7:
        struct.pack_into(">I", head, place // 4 * 4, rng.choice((0, 1, 7, 4096, 30_000, 2**31 - 1, 2**32 - 1)))
    else:
        head[place] = rng.randrange(256)
    return data[:16] + bytes(head) + struct.pack(">I", zlib.crc32(b"IHDR" + head)) + data[33:]


def _span(data: bytes, rng: random.Random) -> tuple[int, int]:
    # Headers lie at either end.
    start = rng.choice((rng.randrange(len(data) + 1), min(rng.randrange(64), len(data)), max(len(data) - 64, 0)))
    return start, min(len(data), start + rng.choice((1, 2, 4, 16, 100, 1000)))


def _flips(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 10, 50)) if data else 0):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _number(data: bytes, rng: random.Random) -> bytes:
    width, (start, _) = rng.choice(list(_WIDTHS)), _span(data, rng)
    value = rng.choice(_NUMBERS) % 2 ** (8 * width)
    return data[:start] + struct.pack(rng.choice("<>") + _WIDTHS[width], value) + data[start + width :]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _filled(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + rng.choice((b"\0", b"\xff", b"A")) * (end - start) + data[end:]


def _taken_out(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:]


def _doubled(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:end] + data[start:end] * rng.choice((1, 2, 50)) + data[end:]


def _inserted(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + rng.randbytes(end - start) + data[start:]


def _moved(data: bytes, rng: random.Random) -> bytes:
    start, end = _span(data, rng)
    place = rng.randrange(len(data) + 1)
    return data[:place] + data[start:end] + data[place:]
