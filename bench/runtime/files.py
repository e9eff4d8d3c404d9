"""Files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench.contracts import UserError
from bench.runtime.folders import kind_of
from bench.runtime.reading import digest_of

_SHOWN = 60
"""Bytes of a file's name in that of its temporary: file systems end a name at 143 or 255."""

_ABANDONED = 24 * 3600.0
"""Seconds without a write after which a temporary is nobody's, whatever its process's number says."""

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<host>[^.]+)\.(?P<pid>\d+)\.[0-9a-f]+\.tmp", re.DOTALL)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends well, and is removed otherwise.

    Of several writers, on one machine or on several that share the folder, the last one's file stays, whole. What it
    holds is on the disk before it takes its place: a power cut leaves the one file or the other.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary(path) as written:
        yield written
        flush(written)
        written.replace(path)


@contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """A name beside ``path`` that no other process has, for the block; a file of that name is removed at its end."""
    name = own_name(path)
    try:
        yield name
    finally:
        name.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Wait until what the file holds is on the disk."""
    with path.open("rb+") as written:
        os.fsync(written.fileno())


@contextmanager
def building(folder: Path) -> Iterator[Path]:
    """A new folder beside ``folder`` that takes its place when the block ends well, and is removed otherwise.

    What a process that was killed in such a block has left there is removed, too.

    Args:
        folder: not there, or empty.

    Raises:
        OSError: it cannot be made, or another process has put something there meanwhile.
    """
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left, name in _left(folder.parent):
        if name == _shown(folder):
            shutil.rmtree(left, ignore_errors=True)
    made = own_name(folder)
    made.mkdir()
    try:
        yield made
        if folder.is_dir():
            folder.rmdir()  # Windows renames onto no folder, not even an empty one
        made.rename(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


OUT = "free the disk or correct --out"
"""How to mend what `writing` cannot write, of an ``--out``."""


@contextmanager
def writing(path: Path, fix: str) -> Iterator[Path]:
    """As `replacing`, for a file that the user asked for.

    Args:
        path: of the file.
        fix: what helps where it cannot be written.

    Raises:
        UserError: it cannot be written; nothing of it is left then.
    """
    try:
        with replacing(path) as temporary:
            yield temporary
    except OSError as error:
        raise UserError(f"cannot write, {error.strerror or error}", path, fix) from None


def check_target(path: Path, option: str) -> None:
    """Raise UserError where a file cannot be written there, before the work that it is to hold is done.

    Args:
        path: of the file; folders on the way to it may be missing.
        option: that gave it.
    """
    if kind_of(path) == "folder":
        raise UserError("a folder, where a file is wanted", path, f"name a file: {option} {path / 'NAME'}")
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:  # of a name that no file system takes
        raise UserError(f"no file can be there, {error}", path, f"name another file with {option}") from None
    folder = next(parent for parent in path.absolute().parents if kind_of(parent))
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        what = "cannot be written" if folder.is_dir() else "a file, where a folder is wanted"
        raise UserError(what, folder, f"name another file with {option}")


def sweep(targets: Set[Path]) -> None:
    """Remove what processes that were killed inside `temporary` have left beside the targets.

    Those of this machine are known by their numbers; what others have left goes a day after it was last written.
    """
    shown = {(target.parent, _shown(target)) for target in targets}
    for folder in {target.parent for target in targets}:
        for path, name in _left(folder):
            if (folder, name) in shown:
                path.unlink(missing_ok=True)


def sweep_folder(folder: Path) -> None:
    """As `sweep`, of all targets in a folder, which need not exist."""
    for path, _ in _left(folder):
        path.unlink(missing_ok=True)


def file_digest(path: Path) -> str:
    """Hex digest (128 bits, BLAKE2b) of a file's bytes. Raises as `bench.runtime.reading.open_regular`."""
    return digest_of(path, 16).hex()


def content_digest(content: bytes) -> str:
    """As `file_digest`, of bytes."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _left(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in folder.glob(".*.tmp"):
        match = _TEMPORARY.fullmatch(path.name)
        if match and _is_left(path, match["host"], int(match["pid"])):
            yield path, match["name"]


def _is_left(temporary: Path, host: str, pid: int) -> bool:
    if host == _host() and not psutil.pid_exists(pid):
        return True
    try:
        return time.time() - temporary.stat().st_mtime > _ABANDONED
    except FileNotFoundError:  # its process has just ended
        return False


def own_name(path: Path) -> Path:
    """A name beside ``path`` that no other process has, and that `sweep` knows for half-written."""
    return path.with_name(f".{_shown(path)}.{_host()}.{os.getpid()}.{secrets.token_hex(4)}.tmp")


def _shown(path: Path) -> str:
    return path.name.encode(errors="surrogateescape")[:_SHOWN].decode(errors="ignore")


def _host() -> str:
    """This machine's name, fit for a file's; containers that share a folder have different ones."""
    return re.sub(r"[^A-Za-z0-9-]", "-", platform.node())[:40] or "unnamed"
