"""Folders: making the one for the output, and what lies below one."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Literal

from bench.contracts import UserError


def make_out(folder: Path) -> None:
    """Make the folder that ``--out`` names, with its parents. Raises UserError where that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fix = "name a writable one with --out"
        raise UserError(f"cannot make the folder, {error.strerror}", folder, fix) from None


def kind_of(path: Path) -> Literal["file", "folder", "pipe or device", ""]:
    """What is at a path, through links; "" for nothing, and for a name that no file system takes."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return ""
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "pipe or device"


def is_hidden(name: str) -> bool:
    """Whether a file or folder is no data of the user's: ``.git``, AppleDouble's ``._1.png``, a Mac's ``__MACOSX``."""
    return name.startswith(".") or name == "__MACOSX"


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below a folder, in no order, but for what `is_hidden` and what lies below a hidden folder.

    Links to folders are followed. No folder is listed twice, by whatever links it is reached, and a link to one that
    holds ``folder`` is a loop, which is cut. Where a folder is reached as itself, too, it goes by its own path.

    Args:
        folder: an existing one; may be hidden itself.

    Raises:
        UserError: a folder cannot be looked into: to leave its files out would be a result for other data.
    """
    seen: set[str] = set()
    root = PurePath(os.path.realpath(folder))
    links = deque([folder])
    while links:
        inside = [links.popleft()]
        while inside:
            place = inside.pop()
            real = os.path.realpath(place)
            if real in seen or (place is not folder and root.is_relative_to(real)):
                continue
            seen.add(real)
            for entry in sorted(_entries(place), key=lambda entry: entry.name):
                path, linked = place / entry.name, entry.is_symlink()
                if is_hidden(entry.name):
                    continue
                if path.is_dir() if linked else entry.is_dir():
                    (links if linked else inside).append(path)
                else:  # a link to nowhere and a pipe, too: reading it says what is wrong
                    yield path


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        fix = "make it readable, or take it out"
        raise UserError(f"cannot look into the folder, {error.strerror}", folder, fix) from None
