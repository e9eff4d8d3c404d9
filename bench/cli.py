"""The command line: parses, calls, prints. Heavy imports happen inside the commands."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.contracts import SPLITS, UserError

KINDS = ("datasets", "bases", "refiners", "metrics", "experiments")


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``bench``: 0 done, 2 the user can fix it, 1 a defect of ours, 130 interrupted."""
    try:
        arguments = _parser().parse_args(argv)
        return int(arguments.command(arguments) or 0)
    except UserError as error:
        print(f"bench: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bench: interrupted; the same command goes on where this one stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe (`| head`) has left.
        sys.stderr.close()
        return 0


def _run(arguments: argparse.Namespace) -> int:
    from bench.commands import CellError, run

    names = ("experiment", "dataset", "base", "refiner", "seed", "store", "device", "engine", "limit", "on_error")
    try:
        result = run(
            **{name: getattr(arguments, name) for name in names}, force=arguments.force, config=arguments.config
        )
    except CellError as defect:
        print(f"{defect}\nbench: a defect in the harness or a plug-in; please report the lines above", file=sys.stderr)
        return 1
    from reports import build, markdown

    keys = {cell.manifest.key for cell in result.cells}
    report = build(result.store, baseline=_settings(arguments).defaults.baseline, keep=lambda cell: cell.key in keys)
    print(markdown.render(report))
    return 0


def _report(arguments: argparse.Namespace) -> None:
    import reports
    from bench.store import Store

    settings = _settings(arguments)
    store = Store(arguments.store or settings.defaults.store)
    store.open_for_reading()
    keep = None
    if arguments.experiment:
        from bench.commands import in_experiment

        keep = in_experiment(settings, arguments.experiment)
    report = reports.build(store, baseline=settings.defaults.baseline, keep=keep)
    chosen = [name for name in reports.FORMATS if getattr(arguments, name)] or ["markdown"]
    for name in chosen:
        suffix, render = reports.FORMATS[name]
        if arguments.out is None:
            print(render(report))
        else:
            arguments.out.mkdir(parents=True, exist_ok=True)
            path = arguments.out / f"report{suffix}"
            path.write_text(render(report), encoding="utf-8")
            print(path)


def _score(arguments: argparse.Namespace) -> None:
    from bench.commands import SCORE_COLUMNS, means, score
    from bench.metrics import METRICS

    scores = score(arguments.masks, arguments.maps)
    if arguments.out:
        scores[list(SCORE_COLUMNS)].to_csv(arguments.out, index=False)
    found = means(scores)
    print(f"{len(scores)} images")
    for name, title in METRICS.items():
        undefined = int(scores[name].isna().sum()) if name != "iou_dataset" else 0
        print(f"{title:44} {found[name]:.4f}" + (f"  ({undefined} undefined)" if undefined else ""))


def _predict(arguments: argparse.Namespace) -> None:
    from bench.commands import predict

    count = predict(
        dataset=arguments.dataset,
        base=arguments.base,
        out=arguments.out,
        splits=arguments.split,
        seed=arguments.seed,
        device=arguments.device,
        limit=arguments.limit,
        config=arguments.config,
    )
    print(f"{count} maps in {arguments.out}")


def _data_list(arguments: argparse.Namespace) -> None:
    from tabulate import tabulate

    from bench.inventory import datasets

    rows = datasets(_settings(arguments))
    print(json.dumps(rows, indent=2) if arguments.json else tabulate(rows, headers="keys"))


def _data_verify(arguments: argparse.Namespace) -> int:
    from bench.inventory import verify

    wrong = 0
    for name, findings in verify(_settings(arguments), arguments.dataset):
        wrong += sum(finding.error for finding in findings)
        print(f"{name}: {len(findings)} findings, {sum(finding.error for finding in findings)} of them errors")
        for finding in findings:
            print(f"  {'error' if finding.error else 'note '}  {finding.kind:10} {finding.where}: {finding.message}")
    return 2 if wrong else 0


def _list(arguments: argparse.Namespace) -> None:
    from bench.inventory import inventory

    rows = inventory(_settings(arguments), arguments.kind or KINDS)
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    for kind, entries in rows.items():
        print(f"{kind}:")
        for entry in entries:
            print(f"  {entry['name']:18} {entry['status'] or entry['summary']}")
            if arguments.verbose:
                for key, value in entry["parameters"].items():
                    print(f"  {'':18}   {key} = {value}")


def _doctor(arguments: argparse.Namespace) -> None:
    from bench.inventory import doctor

    for title, lines in doctor(_settings(arguments)).items():
        print(f"{title}:")
        for name, value in lines.items():
            print(f"  {name:28} {value}")


def _settings(arguments: argparse.Namespace) -> Any:
    from bench.config import load

    return load(arguments.config)


class _Parser(argparse.ArgumentParser):
    """Errors in the one form that all errors have."""

    def error(self, message: str) -> Any:
        self.exit(2, f"bench: error: {message} ({self.prog}): see '{self.prog} --help'\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="bench",
        description="Which refinement method improves my segmentation masks, by how much, and at what cost?",
        epilog="A name may carry parameters wherever one is taken: --refiner 'prn[size=128]'. "
        "Exit codes: 0 done, 2 you can fix it (one line on stderr says how), 1 a defect of ours.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, function: Any, text: str, parent: Any = commands) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = parent.add_parser(name, help=text, description=text)
        added.set_defaults(command=function)
        added.add_argument("--config", type=Path, metavar="FILE", help="settings instead of ./bench.toml")
        return added

    run = command("run", _run, "compute the cells of a grid that the store does not hold yet, and print their table")
    run.add_argument("--experiment", metavar="E", help="a named grid of bench.toml; options below override its parts")
    run.add_argument("--dataset", nargs="+", metavar="D")
    run.add_argument("--base", nargs="+", metavar="B")
    run.add_argument("--refiner", nargs="+", metavar="R")
    run.add_argument("--seed", nargs="+", type=int, metavar="S")
    run.add_argument("--store", type=Path, metavar="DIR", help="where finished cells are kept")
    run.add_argument("--device", choices=("auto", "cpu", "cuda"))
    run.add_argument("--engine", choices=("local", "ray"))
    run.add_argument("--limit", type=_positive, metavar="N", help="only the first N samples of each split")
    run.add_argument(
        "--on-error", choices=("fail", "skip"), help="stop at the first failed cell, or record it and go on"
    )
    run.add_argument("--force", action="store_true", help="compute the named cells anew (base maps are kept)")

    report = command("report", _report, "tables of a store: Markdown unless another form is named")
    report.add_argument("--store", type=Path, metavar="DIR")
    report.add_argument("--experiment", metavar="E", help="only the cells of this experiment")
    for name, text in (
        ("markdown", "Markdown tables"),
        ("latex", "a LaTeX document with booktabs tables"),
        ("csv", "one plain row a cell, full precision"),
    ):
        report.add_argument(f"--{name}", action="store_true", help=text)
    report.add_argument("--out", type=Path, metavar="DIR", help="write report.md, .tex, .csv there instead of printing")

    score = command("score", _score, "score any method's maps against masks, matched by file name; no model needed")
    score.add_argument("--masks", type=Path, required=True, metavar="DIR")
    score.add_argument(
        "--maps", type=Path, required=True, metavar="DIR", help="8/16-bit PNG or NPY, of the masks' sizes"
    )
    score.add_argument("--out", type=Path, metavar="FILE", help="one CSV row an image")

    predict = command("predict", _predict, "write a base's maps as 16-bit PNG, for 'bench score' and 'maps[path=...]'")
    predict.add_argument("--dataset", required=True, metavar="D")
    predict.add_argument("--base", required=True, metavar="B")
    predict.add_argument("--out", type=Path, required=True, metavar="DIR")
    predict.add_argument("--split", nargs="+", choices=SPLITS, default=list(SPLITS))
    predict.add_argument("--seed", type=int, default=0, metavar="S")
    predict.add_argument("--device", choices=("auto", "cpu", "cuda"))
    predict.add_argument("--limit", type=_positive, metavar="N", help="only the first N samples of each split")

    data = commands.add_parser("data", help="list or verify the datasets found here").add_subparsers(
        metavar="ACTION", required=True
    )
    listing = command("list", _data_list, "each dataset's folder and the sizes of its splits", data)
    listing.add_argument("--json", action="store_true")
    verify = command("verify", _data_verify, "read every file and list what is not as it should be", data)
    verify.add_argument("dataset", nargs="*", metavar="D", help="default: every dataset found here")

    catalogue = command("list", _list, "what can be named: datasets, bases, refiners, metrics, experiments")
    catalogue.add_argument("kind", nargs="*", choices=[[], *KINDS], default=[], metavar="KIND", help=", ".join(KINDS))
    catalogue.add_argument("--verbose", action="store_true", help="with their parameters and defaults")
    catalogue.add_argument("--json", action="store_true")

    command("doctor", _doctor, "versions, device, extras and datasets found: what to put into a bug report")
    return parser


def _positive(text: str) -> int:
    number = int(text) if text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return number


if __name__ == "__main__":
    sys.exit(main())
