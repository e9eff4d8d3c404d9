"""``bench list``."""

from __future__ import annotations

import argparse
import json

from bench.cli import options
from bench.cli.parser import Commands
from bench.config import unknown

KINDS = ("datasets", "bases", "refiners", "metrics", "experiments")


def add(commands: Commands) -> None:
    """See `bench.cli`."""
    listing = commands.add("list", "what can be named: datasets, bases, refiners, metrics, experiments", _list)
    # Not by choices=: argparse would offer the empty list, which stands for all of them, too.
    listing.add_argument("kind", nargs="*", metavar="KIND", help=", ".join(KINDS))
    listing.add_argument("--verbose", action="store_true", help="with their parameters and defaults")
    listing.add_argument("--json", action="store_true", help="as JSON")


def _list(arguments: argparse.Namespace) -> None:
    from bench.commands.list import inventory

    for kind in arguments.kind:
        if kind not in KINDS:
            raise unknown("kind", kind, KINDS, "bench list")
    rows = inventory(options.settings_of(arguments), arguments.kind or KINDS, describe=arguments.verbose)
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    for kind, entries in rows.items():
        print(f"{kind}:")
        width = max((len(entry["name"]) for entry in entries), default=0)
        for entry in entries:
            print(f"  {entry['name']:{width}} {entry['status'] or entry['summary']}")
            lines = [f"{key}: {_with_commas(value)}" for key, value in entry.get("description", {}).items()]
            if arguments.verbose:
                lines += [f"{key} = {value}" for key, value in entry["parameters"].items()]
            for line in lines:
                print(f"  {'':{width}}   {line}")


def _with_commas(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
