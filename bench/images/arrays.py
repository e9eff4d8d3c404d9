"""NPY and NPZ: what the header says is held against the file's length before memory is taken for it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO
from zipfile import ZipFile

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from bench.contracts import UserError

SUFFIXES = (".npy", ".npz")

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")


@dataclass(frozen=True)
class _Header:
    """Of an array.

    Attributes:
        size: (height, width).
    """

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    size: tuple[int, int]


def array_size(file: BinaryIO, path: Path) -> tuple[int, int]:
    """(height, width) of a file's array. Raises as `read_array`."""
    with _array(file, path) as (header, _):
        return header.size


def read_array(file: BinaryIO, path: Path) -> NDArray[Any]:
    """``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)``: bool, any integer or any float, in the machine's byte order.

    Args:
        file: at its begin; can be seeked.
        path: for errors.

    Raises:
        UserError: it holds no such array, or several.
        Exception: anything, of a damaged file.
    """
    with _array(file, path) as (header, stream):
        values = np.empty(math.prod(header.shape), header.dtype)
        if _filled(stream, values) < values.nbytes or stream.read(1):
            raise _torn(path)
    values = values.reshape(header.shape, order="F" if header.fortran else "C")
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
        values = values[0] if values.shape[0] == 1 else values[..., 0]
    return np.ascontiguousarray(values, values.dtype.newbyteorder("="))


@contextmanager
def _array(file: BinaryIO, path: Path) -> Iterator[tuple[_Header, IO[bytes]]]:
    """The header of a file's only array, and the stream behind it."""
    # By what it begins with: numpy reads either, whatever the suffix.
    magic = file.read(len(npy.MAGIC_PREFIX))
    file.seek(0, 2)
    length = file.tell()
    file.seek(0)
    if magic == npy.MAGIC_PREFIX:
        yield _header(file, length, path), file
    elif magic.startswith(_ZIP):
        with ZipFile(file) as archive:
            members = archive.infolist()
            if len(members) != 1:
                raise UserError(f"{len(members)} arrays in one file", path, "save one array a file")
            with archive.open(members[0]) as stream:
                yield _header(stream, members[0].file_size, path), stream
    else:
        raise UserError("neither NPY nor NPZ", path, "write it with numpy.save, or name it by what it is")


def _header(stream: IO[bytes], length: int, path: Path) -> _Header:
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise UserError(f"NPY of version {version[0]}.{version[1]}", path, "save bool, integer or float numbers")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.kind not in "buif":
        raise UserError(f"an array of {dtype}", path, "save bool, integer or float numbers")
    size = _size(shape)
    if size is None:
        raise UserError(f"an array of shape {shape}", path, "save (H, W), or (H, W, 3) for a colour image")
    if stream.tell() + math.prod(shape) * dtype.itemsize != length:
        raise _torn(path)
    return _Header(shape, fortran, dtype, size)


def _size(shape: tuple[int, ...]) -> tuple[int, int] | None:
    """(height, width); None of what is no picture."""
    if len(shape) == 3:
        shape = shape[1:] if shape[0] == 1 else shape[:2] if shape[2] in (1, 3, 4) else shape
    return (shape[0], shape[1]) if len(shape) == 2 and min(shape) > 0 else None


def _filled(stream: IO[bytes], values: NDArray[Any]) -> int:
    """How many bytes of an array the stream could fill."""
    return stream.readinto(values.view(np.uint8).data)  # type: ignore[attr-defined]


def _torn(path: Path) -> UserError:
    fix = "write the file again: it is torn, or more was written behind the array"
    return UserError("its header and its length do not agree", path, fix)
