"""``bench run``."""

from __future__ import annotations

import argparse
import json
import shlex
import sys

from bench.cli import options, screen
from bench.cli.parser import Commands
from bench.config import EngineName, OnError
from bench.contracts import PROTOCOLS, UserError

_NO_OPTIONS = (*screen.OPTIONS, "dry_run", "json")
"""What the command has and `bench.run` has not."""

SKIPPED = 3
"""Exit code of a run that went on past failed cells, and is done with the others."""


def add(commands: Commands) -> None:
    """See `bench.cli`."""
    run = commands.add(
        "run", "compute the cells of a grid that the store does not hold yet, and print their table", _run
    )
    run.add_argument("--experiment", metavar="E", help="a named grid of bench.toml; options below override its parts")
    run.add_argument("--dataset", nargs="+", metavar="D", help=options.DATASET)
    run.add_argument("--base", nargs="+", metavar="B", help="see 'bench list bases'")
    run.add_argument("--refiner", nargs="+", metavar="R", help="see 'bench list refiners'")
    options.metric(run)
    run.add_argument("--seed", nargs="+", metavar="S", help="of all that is drawn; each gives cells of its own")
    meanings = "; ".join(f"{name}: {meaning}" for name, meaning in PROTOCOLS.items())
    run.add_argument("--protocol", nargs="+", metavar="|".join(PROTOCOLS), help=meanings)
    options.parameters(run)
    run.add_argument("--store", metavar="DIR|URL", help=options.STORE)
    options.device(run)
    text = (
        "each stage in a process of its own on this machine, all in this one process (breakpoints; memory is not "
        "measured), or a Ray or SLURM cluster that sees the store and the data under the same paths"
    )
    run.add_argument("--engine", metavar=options.one_of(EngineName), help=text)
    run.add_argument("--jobs", metavar="N", help="stages side by side; default: one, on a cluster what it has room for")
    text = "of the Ray cluster; default: what RAY_ADDRESS names, or a cluster of this machine's own"
    run.add_argument("--address", metavar="HOST:PORT", help=text)
    text = "of a SLURM job, as submitit calls them: partition=gpu timeout_min=240 gpus_per_node=1"
    run.add_argument("--slurm", nargs="+", metavar="KEY=VALUE", help=text)
    text = "hand the cells over to the Ray or SLURM cluster and end; see 'bench status'"
    run.add_argument("--detach", action="store_true", help=text)
    options.limit(run)
    run.add_argument("--tune", metavar="N", help="tune every refiner that can be, with N trials on val")
    options.objective(run)
    run.add_argument("--epochs", metavar="N", help="of every base and refiner that is trained")
    text = "stop at the first failed cell, or record it and go on"
    run.add_argument("--on-error", metavar=options.one_of(OnError), help=text)
    text = "images that one stage works on; of more, maps are made and refined in several, which may run side by side"
    run.add_argument("--shard", metavar="N", help=text)
    options.workers(run)
    text = "end a stage that makes no progress for so long, and let its cells fail; not with --engine inline"
    run.add_argument("--stall-limit", metavar="SECONDS", help=text)
    text = (
        "keep pictures (image, truth, base's and refined map) of N images of each cell: a quarter each with the best, "
        "the median and the worst gain in IoU over the baseline's map and a random sample that is the same for all "
        "cells of a dataset; worst:N takes one of these rules alone"
    )
    run.add_argument("--keep-maps", metavar="N|all|worst:N", help=text)
    run.add_argument("--force", action="store_true", help="compute the named cells anew (base maps are kept)")
    text = "compute nothing: say what is to be done, what is there, what will fail and how long it will take"
    run.add_argument("--dry-run", action="store_true", help=text)
    run.add_argument("--json", action="store_true", help="of --dry-run: as JSON")
    screen.options(run)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.dry_run:
        return _dry_run(arguments)
    if arguments.json:
        raise UserError("is of --dry-run alone", "--json", "leave it out: 'bench report --json' has the tables")

    from bench.commands.run import run
    from bench.execution.study import CellError
    from bench.runtime.progress import note

    try:
        result = run(**options.given(arguments, but=_NO_OPTIONS))
    except CellError as defect:
        print(f"{defect}\nbench: a defect in the harness or a plug-in; please report the lines above", file=sys.stderr)
        return 1
    screen.show(result, wide=arguments.wide, legend=arguments.legend)
    for line in result.summary():
        note(line)
    store = shlex.quote(result.store.address)
    note(f"tables again: bench report --store {store} [--wide] [--legend] [--latex --csv --out DIR]")
    return 2 if result.damaged else SKIPPED if result.failures else 0


def _dry_run(arguments: argparse.Namespace) -> int:
    from bench.commands.dry_run import dry_run

    found = dry_run(**options.given(arguments, but=_NO_OPTIONS))
    print(json.dumps(found.as_dict(), indent=2) if arguments.json else found)
    return 0
