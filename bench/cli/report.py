"""``bench report``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli import options, screen
from bench.cli.parser import Commands
from bench.contracts import UserError

if TYPE_CHECKING:
    from bench.commands.results import Results

FORMS = {
    "markdown": "Markdown tables with every column",
    "latex": "a LaTeX document with booktabs tables",
    "csv": "one plain row a cell, full precision",
}


def add(commands: Commands) -> None:
    """See `bench.cli`."""
    text = "tables of a store: which refiner to take, unless another form is named"
    report = commands.add("report", text, _report)
    report.add_argument("--store", metavar="DIR|URL", help="of a run")
    report.add_argument("--experiment", metavar="E", help="only the cells of this experiment")
    options.parameters(report)
    screen.options(report)
    for name, meaning in FORMS.items():
        report.add_argument(f"--{name}", action="store_true", help=meaning)
    text = "write report.md, .tex, .csv there instead of printing; Markdown where no form is named"
    report.add_argument("--out", type=Path, metavar="DIR", help=text)


def _report(arguments: argparse.Namespace) -> int:
    from bench.commands.results import load
    from bench.reports import FORMATS
    from bench.runtime.files import OUT, writing

    chosen = [name for name in FORMS if getattr(arguments, name)]
    if (chosen or arguments.out) and (arguments.wide or arguments.legend):
        given = "--wide" if arguments.wide else "--legend"
        raise UserError("is of the printed tables alone: files have every column and a legend", given, "leave it out")
    results = load(
        arguments.store, experiment=arguments.experiment, parameters=arguments.parameters, config=arguments.config
    )
    if arguments.out is None and not chosen:
        screen.show(results, wide=arguments.wide, legend=arguments.legend)
        return 2 if results.damaged else 0
    for name in chosen or ["markdown"]:
        text = results.report(name)
        if arguments.out is None:
            print(text)
        else:
            path = arguments.out / f"report{FORMATS[name].suffix}"
            with writing(path, OUT) as temporary:
                temporary.write_text(text, encoding="utf-8")
            print(path)
    if "csv" in chosen and arguments.out is not None:
        _write_sheets(results, arguments.out)
    return 2 if results.damaged else 0


def _write_sheets(results: Results, folder: Path) -> None:
    """Each in a file of its own: a CSV holds one table."""
    from bench.reports.formats.sheets import as_csv
    from bench.runtime.files import OUT, writing

    for sheet in results.sheets():
        path = folder / f"{sheet.key}.csv"
        with writing(path, OUT) as temporary:
            temporary.write_text(as_csv([sheet]), encoding="utf-8")
        print(path)
