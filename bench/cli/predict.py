"""``bench predict``."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.cli import options
from bench.cli.parser import Commands
from bench.contracts import SPLITS


def add(commands: Commands) -> None:
    """See `bench.cli`."""
    text = "write a base's maps as 16-bit PNG, for 'bench score' and 'maps[path=...]'"
    predict = commands.add("predict", text, _predict)
    predict.add_argument("--dataset", required=True, metavar="D", help=options.DATASET)
    predict.add_argument("--base", required=True, metavar="B", help="one that needs no training")
    predict.add_argument("--out", type=Path, required=True, metavar="DIR", help="the maps, named by sample id")
    text = "which samples; default: all"
    predict.add_argument("--split", dest="splits", nargs="+", metavar="|".join(SPLITS), default=[*SPLITS], help=text)
    predict.add_argument("--seed", default=0, metavar="S", help="of all that is drawn")
    options.device(predict)
    options.limit(predict)


def _predict(arguments: argparse.Namespace) -> None:
    from bench.commands.predict import predict

    count = predict(**options.given(arguments))
    print(f"{count} maps in {arguments.out}")
