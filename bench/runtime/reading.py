"""Reading the user's files: regular ones alone, as to open a pipe or a device may never end."""

from __future__ import annotations

import hashlib
import itertools
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BufferedReader
from pathlib import Path

from bench.contracts import UserError

_READERS, _AT_A_TIME = 16, 64
"""Threads that read, and files in a turn of one: a turn costs more than a small file of a disk."""

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: Path) -> BufferedReader:
    """Open a file for its bytes, through links.

    Raises:
        UserError: it is no regular file.
        OSError, ValueError: as `open`.
    """
    kind = stat.S_IFMT(path.stat().st_mode)
    if kind != stat.S_IFREG:
        what = _KINDS.get(kind, "something else")
        raise UserError(f"{what}, where a file is wanted", path, "put a regular file there, or take it out")
    return path.open("rb")


def read_text(path: Path) -> str:
    """A file's UTF-8 text, without the mark that spreadsheets write before it; line ends are kept as they are.

    Raises:
        UserError: as `open_regular`.
        OSError, ValueError: as `open`, or it is not UTF-8.
    """
    with open_regular(path) as file:
        return file.read().decode("utf-8-sig")


def digest_of(path: Path, size: int = 64) -> bytes:
    """BLAKE2b of a file's bytes, of so many bytes. Raises as `open_regular`."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=size)).digest()


def digests_of(paths: Sequence[Path], digest: Callable[[Path], bytes] = digest_of) -> dict[Path, bytes]:
    """Those of many files, several read at once, as a server may take its time for each. Raises as ``digest``."""

    def each(part: Sequence[Path]) -> list[bytes]:
        return [digest(path) for path in part]

    parts = [paths[start : start + _AT_A_TIME] for start in range(0, len(paths), _AT_A_TIME)]
    with ThreadPoolExecutor(_READERS) as threads:
        return dict(zip(paths, itertools.chain.from_iterable(threads.map(each, parts)), strict=True))


def changed(
    path: object, how: str = "changed since the run was planned", fix: str = "restore it, or run again"
) -> UserError:
    """The error for what a run's numbers cannot be of any more."""
    return UserError(f"it {how}", path, fix)
