"""``bench tune``."""

from __future__ import annotations

import argparse

from bench.cli import options
from bench.cli.parser import Commands


def add(commands: Commands) -> None:
    """See `bench.cli`."""
    text = "search a refiner's parameters on a base's maps of val; a run on the same store reuses it"
    tune = commands.add("tune", text, _tune)
    tune.add_argument("--refiner", required=True, metavar="R", help="parameters that it carries stay as they are")
    tune.add_argument("--trials", required=True, metavar="N", help="the defaults are the first")
    options.objective(tune)
    tune.add_argument("--dataset", metavar="D", help=options.DATASET)
    tune.add_argument("--base", metavar="B", help="whose maps it is tuned on")
    options.learning(tune)


def _tune(arguments: argparse.Namespace) -> None:
    from bench.commands.tune import tune

    found = tune(**options.given(arguments))
    text = " ".join(f"{name}={options.readable(value)}" for name, value in found.parameters.items())
    print(f"{found.trials} trials on {found.images} val images of {found.dataset}, base {found.base}")
    print(f"  defaults  {found.objective} {found.default_score:.4f}")
    print(f"  best      {found.objective} {found.score:.4f}  {text}")
    print(f'with --store {found.store}, \'bench run --refiner "{found.refiner}"\' uses it; elsewhere "{found.fixed}"')
