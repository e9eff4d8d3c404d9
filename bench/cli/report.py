"""``bench report``."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli import forms, options, screen
from bench.cli.parser import Commands
from bench.contracts import UserError

if TYPE_CHECKING:
    from bench.commands.compare import Changes
    from bench.commands.results import Results

VIEWS = {
    "tests": "paired tests of each refiner against its base, corrected for their family",
    "ranks": "ranks over bases and datasets, which refiner beats which; with --out a critical-difference diagram",
    "strata": "for which images it helps: by the base's IoU and by the columns of --images; gain over base quality, "
    "with --out as a picture, too",
    "bias": "where maps are too high or too low, and what refiners leave of it; of cells run with --metric bias",
    "figures": "pictures for print, PDF and PNG, and their captions, figures.md: examples with boxes, cost, images "
    "before and after, base quality, patch size, bias, ranks; needs --out",
}
"""What is shown in place of the main tables."""

STYLES = ("full", "paper")
"""Of ``--latex``."""


_KEEP = "8"
"""Images of a cell that a page makes pictures of."""


def add(commands: Commands) -> None:
    """See `bench.cli`."""
    text = "tables of a store: which refiner to take, unless another form is named"
    report = commands.add("report", text, _report)
    report.add_argument("--store", metavar="DIR|URL", help="of a run")
    report.add_argument("--experiment", metavar="E", help="only the cells of this experiment")
    options.parameters(report)
    screen.options(report)
    forms.options(report, "report")
    text = "of --latex; paper: a booktabs table for each dataset and base, to \\input, without a document around"
    report.add_argument("--style", choices=STYLES, default=STYLES[0], help=text)
    text = "of --style paper: numbers in columns of siunitx, aligned at their points"
    report.add_argument("--siunitx", action="store_true", help=text)
    text = "a page with all of it, down to single images, that a browser opens from disk: --out's index.html"
    report.add_argument("--html", action="store_true", help=text)
    text = "of --html: the tables and plots alone, as one file, report.html"
    report.add_argument("--single-file", action="store_true", help=text)
    text = f"of --html: of cells without pictures make those of so many images, where that is quick; default {_KEEP}"
    report.add_argument("--keep-maps", metavar="N|all|worst:N", help=text)
    text = "of --html: two stores side by side, A before and B after a change, in place of --store"
    report.add_argument("--compare", nargs=2, metavar=("STORE_A", "STORE_B"), help=text)
    for name, meaning in VIEWS.items():
        report.add_argument(f"--{name}", action="store_true", help=f"instead: {meaning}")
    text = "a CSV with a line an image ('bench data describe', or yours): a column group is resampled whole"
    report.add_argument("--images", type=Path, metavar="FILE", help=text)


def _report(arguments: argparse.Namespace) -> int:
    from bench.commands.results import load
    from bench.reports import BINARY

    chosen = forms.chosen(arguments)
    _check(arguments, chosen)
    if arguments.compare:
        return _compare(arguments)
    results = load(
        arguments.store,
        experiment=arguments.experiment,
        images=arguments.images,
        parameters=arguments.parameters,
        config=arguments.config,
    )
    if views := _views(arguments):
        return _show_views(results, views, chosen, arguments.out)
    if arguments.html:
        if not arguments.single_file:
            from bench.commands.picturing import picture

            picture(results, arguments.keep_maps or _KEEP, arguments.parameters, arguments.config)
        _put_page(results, arguments.out, single=arguments.single_file)
        if not chosen:
            return 2 if results.damaged else 0
    if arguments.out is None and not chosen:
        screen.show(results, wide=arguments.wide, legend=arguments.legend)
        return 2 if results.damaged else 0
    for name in chosen or ["markdown"]:
        path = arguments.out and arguments.out / f"report{forms.suffix(name)}"
        if name in BINARY:
            forms.put(results.workbook(), path)
        elif name == "latex" and arguments.style == "paper":
            forms.put(results.paper(siunitx=arguments.siunitx, command=_command(arguments)), path)
        else:
            forms.put(results.report(name), path)
    if "csv" in (chosen if arguments.out else ()):
        forms.put_sheets(results.published(), ["csv"], arguments.out, "report")
    return 2 if results.damaged else 0


def _compare(arguments: argparse.Namespace) -> int:
    from bench.commands.compare import compare

    chosen = {name: getattr(arguments, name) for name in ("experiment", "parameters", "config")}
    changes = compare(*arguments.compare, **chosen)
    _put_page(changes, arguments.out, single=arguments.single_file)
    print(changes.sentence)
    return 2 if changes.damaged else 0


def _put_page(found: Results | Changes, folder: Path, *, single: bool) -> None:
    if single:
        forms.put(found.single_page(), folder / "report.html")
    else:
        print(found.page(folder))


def _views(arguments: argparse.Namespace) -> list[str]:
    return [name for name in VIEWS if getattr(arguments, name)]


def _show_views(results: Results, views: Sequence[str], chosen: Sequence[str], folder: Path | None) -> int:
    # All of them are made before the first file is written: a view that cannot be leaves nothing half-done.
    sheets = {view: getattr(results, view)() for view in views if view != "figures"}
    drawings = results.drawings if "figures" in views else []
    for view, found in sheets.items():
        forms.put_sheets(found, chosen or ["markdown"], folder, view)
    if folder is not None and not {"ranks", "strata"}.isdisjoint(views):
        from bench.reports.figures import critical_difference, gain_over_quality

        pictures = {}
        if "ranks" in views:
            pictures["ranks"] = critical_difference(results.ranking)
        if "strata" in views:
            pictures["strata-quality"] = gain_over_quality(sheets["strata"][-1])
        for stem, contents in pictures.items():
            for form, content in contents.items():
                forms.put(content, folder / f"{stem}.{form}")
    if folder is not None and drawings:
        from bench.reports.figures import write

        for path in write(drawings, folder):
            print(path)
    return 2 if results.damaged else 0


def _check(arguments: argparse.Namespace, chosen: list[str]) -> None:
    if (chosen or arguments.out) and (arguments.wide or arguments.legend):
        given = "--wide" if arguments.wide else "--legend"
        raise UserError("is of the printed tables alone: files have every column and a legend", given, "leave it out")
    if arguments.compare:
        if not arguments.html:
            said = "is of the page alone: 'bench compare' has the tables"
            raise UserError(said, "--compare", "add --html --out DIR, or say 'bench compare STORE_A STORE_B'")
        if arguments.store is not None:
            raise UserError("the stores are those of --compare", "--store", "leave it out")
        if arguments.images is not None:
            raise UserError("is of one store's tables: --compare resamples images", "--images", "leave it out")
        if chosen:
            raise UserError("is of one store's tables", f"--{chosen[0]}", "say 'bench compare' for this form of two")
    if arguments.html and arguments.out is None:
        raise UserError("a page is a folder of files", "--html", "say where it goes: --out DIR")
    if arguments.single_file and not arguments.html:
        raise UserError("is of the page alone", "--single-file", "add --html")
    if arguments.keep_maps and (not arguments.html or arguments.single_file or arguments.compare):
        said = "say --html, without --single-file and --compare"
        raise UserError("is of the page of one store with its images", "--keep-maps", said)
    if views := _views(arguments):
        if arguments.html:
            raise UserError("a page is written by a call of its own", "--html", f"leave --{views[0]} out")
        for option in ("wide", "legend", "siunitx"):
            if getattr(arguments, option):
                raise UserError("is of the main tables alone", f"--{option}", f"leave it or --{views[0]} out")
        if arguments.style == "paper":
            raise UserError("is of the main tables alone", "--style paper", f"leave it or --{views[0]} out")
        if "figures" in views and arguments.out is None:
            raise UserError("pictures cannot be printed", "--figures", "write them to a folder: --out DIR")
        if views == ["figures"] and chosen:
            raise UserError("is of tables alone", f"--{chosen[0]}", "leave it or --figures out")
    if arguments.style == "paper" and "latex" not in chosen:
        raise UserError("is a style of LaTeX", "--style paper", "add --latex")
    if arguments.siunitx and arguments.style != "paper":
        raise UserError("is of the tables for a paper", "--siunitx", "add --latex --style paper")


def _command(arguments: argparse.Namespace) -> str:
    """The call that gives the same tables."""
    named = ("store", "experiment", "images", "config")
    given = {f"--{name}": getattr(arguments, name) for name in named}
    words = [word for option, value in given.items() if value is not None for word in (option, str(value))]
    words += ["--set", *arguments.parameters] if arguments.parameters else []
    words += ["--latex", "--style", "paper", *(["--siunitx"] if arguments.siunitx else [])]
    return shlex.join(["bench", "report", *words])
