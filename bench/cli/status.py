"""``bench status``."""

from __future__ import annotations

import argparse
import json

from bench.cli import options
from bench.cli.parser import Commands
from bench.cli.run import SKIPPED

UNFINISHED = 4
"""Exit code: cells are left, whether somebody is at work on them or not."""


def add(commands: Commands) -> None:
    """See `bench.cli`."""
    text = (
        f"how far the runs of a store are; exit code 0 all done, {SKIPPED} some failed, {UNFINISHED} not finished yet"
    )
    status = commands.add("status", text, _status)
    status.add_argument("--store", metavar="DIR|URL", help="that runs fill")
    status.add_argument("--experiment", metavar="E", help="only the cells of this experiment")
    status.add_argument("--json", action="store_true", help="as JSON")


def _status(arguments: argparse.Namespace) -> int:
    from bench.commands.status import status

    found = status(**options.given(arguments, but=["json"]))
    print(json.dumps(found.as_dict(), indent=2) if arguments.json else found)
    return UNFINISHED if not found.is_finished else SKIPPED if found.failed else 0
