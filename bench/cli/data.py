"""``bench data list``, ``prepare``, ``verify`` and ``describe``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from bench.cli import options
from bench.cli.parser import Commands
from bench.contracts import SPLITS


def add(commands: Commands) -> None:
    """See `bench.cli`."""
    listing = commands.add("data list", "each dataset's folder and the sizes of its splits", _list)
    listing.add_argument("--json", action="store_true", help="as JSON")
    prepare = commands.add("data prepare", "unpack a dataset's downloaded archives to where it is read from", _prepare)
    prepare.add_argument("dataset", metavar="DATASET", help="see 'bench list datasets'")
    prepare.add_argument(
        "--archive",
        nargs="+",
        required=True,
        type=Path,
        metavar="FILE",
        help="all that its authors publish of it: zip, tar, tar.gz, tar.bz2, tar.xz, and lists as plain text files",
    )
    text = "the parent of the datasets' folders, in place of BENCH_DATA and [data] root"
    prepare.add_argument("--root", type=Path, metavar="DIR", help=text)
    verify = commands.add(
        "data verify", "read every file and list what is wrong; exit code 2 where there are errors", _verify
    )
    verify.add_argument("dataset", nargs="*", metavar="D", help="default: every dataset found here")
    text = "what the images of a split and their masks are like, as a CSV for 'bench report --images'"
    describe = commands.add("data describe", text, _describe)
    describe.add_argument("dataset", metavar="DATASET", help="see 'bench list datasets'")
    describe.add_argument("--split", choices=SPLITS, default="test", help="test where not given")
    describe.add_argument("--out", required=True, type=Path, metavar="FILE", help="the CSV")


def _describe(arguments: argparse.Namespace) -> None:
    from bench.commands.data import describe
    from bench.runtime.files import OUT, writing

    table = describe(options.settings_of(arguments), arguments.dataset, arguments.split)
    with writing(arguments.out, OUT) as temporary:
        table.to_csv(temporary, index=False)
    print(f"{arguments.out}: {len(table)} images by {', '.join(table.columns[1:])}")


def _list(arguments: argparse.Namespace) -> None:
    from tabulate import tabulate

    from bench.commands.data import datasets

    rows = datasets(options.settings_of(arguments))
    print(json.dumps(rows, indent=2) if arguments.json else tabulate(rows, headers="keys"))


def _prepare(arguments: argparse.Namespace) -> None:
    from bench.commands.data import prepare

    name = arguments.dataset
    done = prepare(options.settings_of(arguments), name, arguments.archive, arguments.root)
    said = "unpacked to" if done.new else "already in"
    print(f"{name}: {len(done.plan.files)} files, {done.plan.size / 2**20:,.1f} MiB, {said} {done.folder}")
    print(f"  {', '.join(f'{split} {size}' for split, size in done.sizes.items())}; {done.state}")
    if left_out := done.plan.left_out:
        print(f"  left out, no part of the dataset: {', '.join(left_out[:3])}{', ...' * (len(left_out) > 3)}")
    print(f"  'bench data verify {name}' reads every file")


def _verify(arguments: argparse.Namespace) -> int:
    from bench.commands.data import verify

    wrong = 0
    for name, findings in verify(options.settings_of(arguments), arguments.dataset):
        wrong += sum(finding.error for finding in findings)
        print(f"{name}: {len(findings)} findings, {sum(finding.error for finding in findings)} of them errors")
        for finding in findings:
            print(f"  {'error' if finding.error else 'note '}  {finding.kind:10} {finding.where}: {finding.message}")
    return 2 if wrong else 0
