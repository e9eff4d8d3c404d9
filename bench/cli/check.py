"""``bench check``."""

from __future__ import annotations

import argparse

from bench.cli import options
from bench.cli.parser import Commands
from bench.config import KINDS


def add(commands: Commands) -> None:
    """See `bench.cli`."""
    text = "run the contract's checks on installed plug-ins; exit code 2 where one fails"
    check = commands.add("check", text, _check)
    check.add_argument("name", nargs="+", metavar="NAME", help="with parameters where it needs some: 'unet[size=64]'")
    check.add_argument("--kind", choices=KINDS, help="where a base and a refiner, say, have one name")
    text = "seconds for one check; default 300"
    check.add_argument("--timeout", type=options.whole_seconds, default=300, metavar="S", help=text)


def _check(arguments: argparse.Namespace) -> None:
    from bench.commands.check import check

    title = ""
    for heading, line in check(arguments.name, kind=arguments.kind, timeout=arguments.timeout, config=arguments.config):
        if heading != title:
            print(f"{heading}:")
        title = heading
        print(f"  {line}", flush=True)
