"""Folders of images or maps, matched with each other by file name."""

from __future__ import annotations

from pathlib import Path

from bench.contracts import UserError


def make_out(folder: Path) -> None:
    """Make the folder that ``--out`` names, with its parents. Raises UserError where that cannot be done."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fix = "name a writable one with --out"
        raise UserError(f"cannot make the folder, {error.strerror}", folder, fix) from None


def files_by_id(folder: Path, suffixes: tuple[str, ...], option: str) -> dict[str, Path]:
    """The files with one of the suffixes by id: the path within the folder without its suffix.

    Args:
        folder: looked through with its subfolders.
        suffixes: lower case, with the dot.
        option: what named the folder, for errors.

    Raises:
        UserError: the folder is missing, holds no such file, or two files of one id.
    """
    if not folder.is_dir():
        raise UserError("no such folder", folder, f"name an existing one with {option}")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in suffixes:
            continue
        other = found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
        if other is not path:
            raise UserError(f"two files of one name, {other.name} and {path.name}", path.parent, "keep one of them")
    if not found:
        raise UserError("the folder holds no images", folder, f"it needs files of {', '.join(suffixes)}")
    return found
