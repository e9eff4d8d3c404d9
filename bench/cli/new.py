"""``bench new dataset``, ``base``, ``refiner`` and ``metric``."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from bench.cli.parser import Commands
from bench.config import KINDS, Kind


def add(commands: Commands) -> None:
    """See `bench.cli`."""
    for kind in KINDS:
        text = f"write an installable package with a {kind}, its test and a README"
        new = commands.add(f"new {kind}", text, partial(_new, kind=kind))
        new.add_argument("name", metavar="NAME", help=f"what --{kind} will call it: small letters, digits and '-'")
        new.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where the folder NAME is made")


def _new(arguments: argparse.Namespace, kind: Kind) -> None:
    from bench.commands.new import new

    folder = new(kind, arguments.name, arguments.out)
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        print(file)
    print(f"next: pip install -e {folder} && bench check {arguments.name}")
