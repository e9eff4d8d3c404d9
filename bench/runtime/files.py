"""Files that appear whole or not at all, and logs of lines that do."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from bench.contracts import UserError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends well, and is removed otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_target(path: Path, option: str) -> None:
    """Raise UserError where a file cannot be written there, before the work that it is to hold is done.

    Args:
        path: of the file; folders on the way to it may be missing.
        option: that gave it.
    """
    if path.is_dir():
        raise UserError("a folder, where a file is wanted", path, f"name a file: {option} {path / 'NAME'}")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        what = "cannot be written" if folder.is_dir() else "a file, where a folder is wanted"
        raise UserError(what, folder, f"name another file with {option}")


def sweep(targets: Set[Path]) -> None:
    """Remove what processes that were killed inside `replacing` have left beside the targets."""
    for folder in {target.parent for target in targets}:
        for path in folder.glob(".*.tmp"):
            match = re.fullmatch(r"\.(.+)\.(\d+)\.tmp", path.name)
            if match and folder / match[1] in targets and not psutil.pid_exists(int(match[2])):
                path.unlink(missing_ok=True)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects that an interrupted call left, one a line; a torn last line is taken out of the file."""
    if not path.is_file():
        return []
    whole = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    with replacing(path) as temporary:
        temporary.write_text("".join(whole), encoding="utf-8")
    return [json.loads(line) for line in whole]
