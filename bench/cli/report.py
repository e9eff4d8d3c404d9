"""``bench report``."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.cli import options
from bench.cli.parser import Commands


def add(commands: Commands) -> None:
    """See `bench.cli`."""
    report = commands.add("report", "tables of a store: Markdown unless another form is named", _report)
    report.add_argument("--store", type=Path, metavar="DIR")
    report.add_argument("--experiment", metavar="E", help="only the cells of this experiment")
    options.parameters(report)
    for name, text in (
        ("markdown", "Markdown tables"),
        ("latex", "a LaTeX document with booktabs tables"),
        ("csv", "one plain row a cell, full precision"),
    ):
        report.add_argument(f"--{name}", action="store_true", help=text)
    report.add_argument("--out", type=Path, metavar="DIR", help="write report.md, .tex, .csv there instead of printing")


def _report(arguments: argparse.Namespace) -> None:
    from bench.commands.results import load
    from bench.reports import FORMATS

    results = load(
        arguments.store, experiment=arguments.experiment, parameters=arguments.parameters, config=arguments.config
    )
    chosen = [name for name in FORMATS if getattr(arguments, name)] or ["markdown"]
    for name in chosen:
        text = results.report(name)
        if arguments.out is None:
            print(text)
        else:
            arguments.out.mkdir(parents=True, exist_ok=True)
            path = arguments.out / f"report{FORMATS[name].suffix}"
            path.write_text(text, encoding="utf-8")
            print(path)
