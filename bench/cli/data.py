"""``bench data list`` and ``bench data verify``."""

from __future__ import annotations

import argparse
import json

from bench.cli import options
from bench.cli.parser import Commands


def add(commands: Commands) -> None:
    """See `bench.cli`."""
    listing = commands.add("data list", "each dataset's folder and the sizes of its splits", _list)
    listing.add_argument("--json", action="store_true", help="as JSON")
    verify = commands.add(
        "data verify", "read every file and list what is wrong; exit code 2 where there are errors", _verify
    )
    verify.add_argument("dataset", nargs="*", metavar="D", help="default: every dataset found here")


def _list(arguments: argparse.Namespace) -> None:
    from tabulate import tabulate

    from bench.commands.data import datasets

    rows = datasets(options.settings_of(arguments))
    print(json.dumps(rows, indent=2) if arguments.json else tabulate(rows, headers="keys"))


def _verify(arguments: argparse.Namespace) -> int:
    from bench.commands.data import verify

    wrong = 0
    for name, findings in verify(options.settings_of(arguments), arguments.dataset):
        wrong += sum(finding.error for finding in findings)
        print(f"{name}: {len(findings)} findings, {sum(finding.error for finding in findings)} of them errors")
        for finding in findings:
            print(f"  {'error' if finding.error else 'note '}  {finding.kind:10} {finding.where}: {finding.message}")
    return 2 if wrong else 0
