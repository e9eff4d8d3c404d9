"""``bench store check`` and ``bench store gc``."""

from __future__ import annotations

import argparse

from bench.cli import options
from bench.cli.parser import Commands


def add(commands: Commands) -> None:
    """See `bench.cli`."""
    check = commands.add("store check", "read all of a store and name what is not what was written", _check)
    check.add_argument("--store", metavar="DIR|URL", help="of a run")
    check.add_argument("--repair", action="store_true", help="take that out, so that the next run makes it anew")
    gc = commands.add(
        "store gc", "remove what killed runs have left, work that was stopped, pictures of no cell, old logs", _gc
    )
    gc.add_argument("--store", metavar="DIR|URL", help="of a run")
    gc.add_argument("--unused", action="store_true", help="also maps and trainings that no cell was made from")
    gc.add_argument("--dry-run", action="store_true", help="only say what would go")


def _check(arguments: argparse.Namespace) -> int:
    from bench.commands.store import check_store

    found = check_store(**options.given(arguments))
    for damage in found:
        print(f"{'removed' if arguments.repair else 'damaged'}: {damage.where}: {damage.what}")
    if not found:
        print("all of it is what was written")
    elif arguments.repair:
        print("the next run makes it anew")
    return 2 if found and not arguments.repair else 0


def _gc(arguments: argparse.Namespace) -> None:
    from bench.commands.store import collect_garbage

    found = collect_garbage(**options.given(arguments))
    for garbage in found:
        print(f"{'would go' if arguments.dry_run else 'removed'}: {garbage.name}: {garbage.what}")
    if not found:
        print("nothing to remove")
