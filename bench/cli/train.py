"""``bench train base`` and ``bench train refiner``."""

from __future__ import annotations

import argparse

from bench.cli import options
from bench.cli.parser import Commands
from bench.contracts import PROTOCOLS


def add(commands: Commands) -> None:
    """See `bench.cli`."""
    text = "train a base on a dataset, or go on with a training that was stopped"
    base = commands.add("train base", text, _train_base)
    base.add_argument("base", metavar="B", help="e.g. 'unet[encoder=resnet18]'")
    base.add_argument("--protocol", metavar="|".join(PROTOCOLS), default="A", help="B: on train and val")
    text = "train a refiner on a base's maps of val, and the base first where it has to be"
    refiner = commands.add("train refiner", text, _train_refiner)
    refiner.add_argument("refiner", metavar="R", help="e.g. 'prn[size=256]'")
    refiner.add_argument("--base", required=True, metavar="B", help="whose maps it learns from")
    for command in (base, refiner):
        command.add_argument("--dataset", required=True, metavar="D", help=options.DATASET)
        command.add_argument("--epochs", metavar="N", help="in place of its own")
        options.learning(command)


def _train_base(arguments: argparse.Namespace) -> None:
    from bench.commands.train import train_base, weights_in

    folder = train_base(**options.given(arguments))
    print(f"trained {arguments.base} on {arguments.dataset}: {weights_in(folder) or folder}")


def _train_refiner(arguments: argparse.Namespace) -> None:
    from bench.commands.train import train_refiner, weights_in

    folder = train_refiner(**options.given(arguments))
    print(f"trained {arguments.refiner} on {arguments.dataset}: {weights_in(folder) or folder}")
