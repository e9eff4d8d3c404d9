"""What goes to the screen: the tables of a run or a store, and characters that the screen's encoding lacks."""

from __future__ import annotations

import argparse
import codecs
import io
import shutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.commands.results import Results

OPTIONS = ("wide", "legend")

PLAIN = str.maketrans("↑↓→†‡⁰¹²³⁴⁵⁶⁷⁸⁹\u2013\u2014\u00d7", "+->+#0123456789--x")
"""One character for each, so that columns stay below one another."""


def options(command: argparse.ArgumentParser) -> None:
    """Those of `show`."""
    command.add_argument("--wide", action="store_true", help="print all columns, not those alone that 80 columns hold")
    command.add_argument("--legend", action="store_true", help="explain the columns under the printed tables")


def show(results: Results, *, wide: bool, legend: bool) -> None:
    """Print the tables: in bold and colour on a terminal, plainly into a pipe."""
    from rich.console import Console

    console = Console()
    text = results.shown(width=shutil.get_terminal_size((80, 24)).columns, wide=wide, legend=legend)
    if console.is_terminal:
        console.print(text, soft_wrap=True)  # a line that is too long is the terminal's to fold: nothing is cut
    else:
        print(text.plain)


def write_anything() -> None:
    """Let stdout and stderr take any text: what their encoding lacks is written as its nearest plain characters."""
    codecs.register_error("bench.plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="bench.plain")


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    bad = error.object[error.start : error.end]
    return "".join(map(_ascii, bad)), error.end


def _ascii(character: str) -> str:
    if character == "…":  # in no table of the screen, whose columns two more characters would shift
        return "..."
    plain = character.translate(PLAIN)
    return plain if plain.isascii() else character.encode("ascii", "backslashreplace").decode()
