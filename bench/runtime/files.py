"""Files that appear whole or not at all, and logs of lines that do."""

from __future__ import annotations

import json
import os
import platform
import re
import secrets
import time
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from bench.contracts import UserError
from bench.runtime.folders import kind_of

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
    temporary = path.with_name(f".{_shown(path)}.{_host()}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
    folder = next(parent for parent in path.absolute().parents if kind_of(parent))
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        what = "cannot be written" if folder.is_dir() else "a file, where a folder is wanted"
        raise UserError(what, folder, f"name another file with {option}")


def sweep(targets: Set[Path]) -> None:
    """Remove what processes that were killed inside `replacing` have left beside the targets.

    Those of this machine are known by their numbers; what others have left goes a day after it was last written.
    """
    shown = {(target.parent, _shown(target)) for target in targets}
    for folder in {target.parent for target in targets}:
        for path in folder.glob(".*.tmp"):
            match = _TEMPORARY.fullmatch(path.name)
            if match and (folder, match["name"]) in shown and _is_left(path, match["host"], int(match["pid"])):
                path.unlink(missing_ok=True)


def _is_left(temporary: Path, host: str, pid: int) -> bool:
    if host == _host() and not psutil.pid_exists(pid):
        return True
    try:
        return time.time() - temporary.stat().st_mtime > _ABANDONED
    except FileNotFoundError:  # its process has just ended
        return False


def _shown(path: Path) -> str:
    return path.name.encode(errors="surrogateescape")[:_SHOWN].decode(errors="ignore")


def _host() -> str:
    """This machine's name, fit for a file's; containers that share a folder have different ones."""
    return re.sub(r"[^A-Za-z0-9-]", "-", platform.node())[:40] or "unnamed"


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects that an interrupted call left, one a line; a torn last line is taken out of the file."""
    if not path.is_file():
        return []
    whole = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    with replacing(path) as temporary:
        temporary.write_text("".join(whole), encoding="utf-8")
    return [json.loads(line) for line in whole]
