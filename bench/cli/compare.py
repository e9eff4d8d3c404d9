"""``bench compare``."""

from __future__ import annotations

import argparse

from bench.cli import forms, options
from bench.cli.parser import Commands

REGRESSED = 1
"""The exit code where something is worse, for a CI."""


def add(commands: Commands) -> None:
    """See `bench.cli`."""
    text = "what changed between two stores, cell by cell; exit code 1 where something regressed"
    compare = commands.add("compare", text, _compare)
    compare.add_argument("before", metavar="STORE_A", help="of a run, before a change")
    compare.add_argument("after", metavar="STORE_B", help="of the same run, after it")
    text = "percent points that a metric may get worse by, where its interval excludes zero; 0.1"
    compare.add_argument("--tolerance", type=float, metavar="POINTS", help=text)
    compare.add_argument("--experiment", metavar="E", help="only the cells of this experiment")
    options.parameters(compare)
    forms.options(compare, "compare")


def _compare(arguments: argparse.Namespace) -> int:
    from bench.commands.compare import compare

    chosen = forms.chosen(arguments)
    given = {} if arguments.tolerance is None else {"tolerance": arguments.tolerance}
    changes = compare(
        arguments.before,
        arguments.after,
        experiment=arguments.experiment,
        parameters=arguments.parameters,
        config=arguments.config,
        **given,
    )
    forms.put_sheets(changes.sheets, chosen or ["markdown"], arguments.out, "compare")
    if arguments.out is not None:
        print(changes.sentence)
    if changes.damaged:
        return 2
    return REGRESSED if changes.regressed else 0
