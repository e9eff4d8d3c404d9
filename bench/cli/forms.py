"""Options for the forms that tables are written in, and where to."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.contracts import UserError

FORMS = {
    "markdown": "Markdown tables with every column",
    "latex": "a LaTeX document with booktabs tables",
    "csv": "one plain row a cell, full precision",
    "json": "everything for programs, full precision",
    "xlsx": "a workbook for spreadsheets; needs --out",
}

BINARY = ("xlsx",)
"""Those that no screen can show."""


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
