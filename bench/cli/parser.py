"""What the commands are added to."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.redaction import printable

GROUPS = {
    "data": "lay out, list or verify the datasets found here",
    "new": "write an installable package with a plug-in of your own to start from",
    "store": "check a store, or remove what no run needs",
    "train": "train a base or a refiner alone; a run on the same store reuses it",
}
"""Commands of two words, by the first."""

Call = Callable[[argparse.Namespace], Any]


class Parser(argparse.ArgumentParser):
    """Errors in the one form that all errors have."""

    def error(self, message: str) -> Any:
        self.exit(2, f"bench: error: {printable(message)} ({self.prog}): see '{self.prog} --help'\n")


class Commands:
    """The commands of a parser, by one word or two."""

    def __init__(self, whole: Parser) -> None:
        self._top = whole.add_subparsers(metavar="COMMAND", required=True)
        self._groups: dict[str, Any] = {"": self._top}

    def add(self, name: str, text: str, call: Call) -> argparse.ArgumentParser:
        """A command, to be given its options.

        Args:
            name: ``"run"``, ``"data list"``.
            text: its line in the help.
            call: what it does with the parsed arguments; what it returns is the exit code, None for 0.
        """
        group, _, last = name.rpartition(" ")
        if group not in self._groups:
            added = self._top.add_parser(group, help=GROUPS[group])
            self._groups[group] = added.add_subparsers(metavar="ACTION", required=True)
        command: argparse.ArgumentParser = self._groups[group].add_parser(last, help=text, description=text)
        command.set_defaults(command=call)
        command.add_argument("--config", type=Path, metavar="FILE", help="settings instead of ./bench.toml")
        return command
