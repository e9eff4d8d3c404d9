"""``bench export``."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.cli import options
from bench.cli.parser import Commands


def add(commands: Commands) -> None:
    """See `bench.cli`."""
    text = "write a trained refiner as an ONNX file, which runs without this program"
    export = commands.add("export", text, _export)
    options.trained_refiner(export)
    export.add_argument("--onnx", type=Path, required=True, metavar="FILE", help="where it is written")


def _export(arguments: argparse.Namespace) -> None:
    from bench.commands.export import export

    export(**options.given(arguments))
    print(arguments.onnx)
