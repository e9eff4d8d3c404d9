"""Damaged pictures of every file type that is read: what the kinds images, masks and maps share."""

from __future__ import annotations

import ast
import random
import struct
from pathlib import Path

import numpy as np

from tests.bench.images.matrix import CODINGS, kinds
from tests.fuzz.damage import damaged, png_with

KINDS = list(kinds())
_NUMBERS = (-1, 0, 1, 3, 4, 47, 49, 10**6, 2**31, 2**62, 2**64)
_TYPES = ("|O", "<f8", ">i2", "<U8", "|V6", "<c8", "<M8[s]", "bool", "|u1", "[('a','<f4')]", "nonsense")


def make(rng: random.Random, folder: Path) -> Path:
    """One file, damaged by its bytes or by what its header says."""
    while True:
        kind, coding = rng.choice(KINDS), rng.choice(CODINGS)
        path = folder / f"picture.{kind.suffix}"
        try:
            kind.write(coding, path)
            break
        except (ValueError, OSError, TypeError):
            path.unlink(missing_ok=True)  # the type cannot hold the coding
    data = path.read_bytes()
    if data.startswith(b"\x89PNG") and rng.random() < 0.3:
        data = png_with(data, rng)
    elif data.startswith(b"\x93NUMPY") and rng.random() < 0.6:
        data = npy_with(data, rng)
    else:
        data = damaged(data, rng)
    if rng.random() < 0.1:
        path = path.with_suffix(f".{rng.choice(KINDS).suffix}")
    path.write_bytes(data)
    return path


def npy_with(data: bytes, rng: random.Random) -> bytes:
    """An NPY whose header says something else."""
    (length,) = struct.unpack("<H", data[8:10])
    said = ast.literal_eval(data[10 : 10 + length].decode())
    which = rng.randrange(4)
    if which == 0:
        said["shape"] = tuple(rng.choice(_NUMBERS) for _ in range(rng.randrange(5)))
    elif which == 1:
        said["descr"] = rng.choice(_TYPES)
    elif which == 2:
        said["fortran_order"] = rng.choice((True, 7, None))
    head = (
        repr(said).encode() if which < 3 else rng.choice((b"{" * 4000, b"[" * 9000, b"-" * 3000 + b"1", b"", b"'" * 9))
    )
    return data[:8] + struct.pack("<H", len(head) + 1) + head + b"\n" + data[10 + length :]


def sound(values: np.ndarray, dtype: type, ndim: int) -> None:
    """What is read has to be an array of its contract."""
    assert values.dtype == dtype and values.ndim == ndim and values.size
    assert np.isfinite(values).all() and (dtype is not np.float32 or 0 <= values.min() <= values.max() <= 1)
