"""Options for the forms that tables are written in, and where to."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.contracts import UserError

if TYPE_CHECKING:
    from bench.reports.sheets import Sheet

FORMS = {
    "markdown": "Markdown tables with every column",
    "latex": "a LaTeX document with booktabs tables",
    "csv": "one plain row a cell, full precision",
    "json": "everything for programs, full precision",
    "xlsx": "a workbook for spreadsheets; needs --out",
}


def options(command: argparse.ArgumentParser, stem: str) -> None:
    """One for each form, and ``--out``.

    Args:
        stem: of the files that it writes.
    """
    for name, meaning in FORMS.items():
        command.add_argument(f"--{name}", action="store_true", help=meaning)
    text = f"write {stem}.md, .tex, .csv, .json, .xlsx there instead of printing; Markdown where no form is named"
    command.add_argument("--out", type=Path, metavar="DIR", help=text)


def chosen(arguments: argparse.Namespace) -> list[str]:
    """The forms that are asked for. Raises UserError where one of them can only be written, and nothing says where."""
    from bench.reports import BINARY

    found = [name for name in FORMS if getattr(arguments, name)]
    for name in found:
        if name in BINARY and arguments.out is None:
            raise UserError("a workbook is no text that can be printed", f"--{name}", "write it to a file: --out DIR")
    return found


def put(content: str | bytes, path: Path | None) -> None:
    """Print a text, or write the content whole and print the file's path."""
    from bench.runtime.files import OUT, writing

    if path is None:
        print(str(content).removesuffix("\n"))
        return
    with writing(path, OUT) as temporary:
        temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    print(path)


def suffix(name: str) -> str:
    """Of the form's file."""
    from bench.reports import BINARY, FORMATS

    return BINARY[name].suffix if name in BINARY else FORMATS[name].suffix


def put_sheets(sheets: Sequence[Sheet], names: Sequence[str], folder: Path | None, stem: str) -> None:
    """Print sheets in the named forms, or write a file of each; of CSV one a sheet, so that other programs read it.

    Args:
        names: as `chosen` gives them.
        folder: where to; None to print.
        stem: of the files.
    """
    from bench.reports.formats import xlsx
    from bench.reports.formats.sheets import RENDERERS

    for name in names if sheets else ():
        if name == "csv" and folder:
            for sheet in sheets:
                own = sheet.key if sheet.key.startswith(stem) else f"{stem}-{sheet.key}"
                put(RENDERERS[name]([sheet]), folder / f"{own}{suffix(name)}")
        else:
            content = RENDERERS[name](sheets) if name in RENDERERS else xlsx.workbook(sheets)
            put(content, folder and folder / f"{stem}{suffix(name)}")
