"""The command line: parses, calls, prints. Heavy imports happen inside the commands."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from bench.cli.options import KINDS, PLUGGED, Plugged, parser
from bench.contracts import UserError


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
    from bench.commands.run import CellError, run

    try:
        result = run(**_options(arguments))
    except CellError as defect:
        print(f"{defect}\nbench: a defect in the harness or a plug-in; please report the lines above", file=sys.stderr)
        return 1
    from reports import build
    from reports.formats import markdown

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
        from bench.commands.run import in_experiment

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
    from bench.commands.score import means, score
    from bench.metrics.columns import COUNTS, METRICS, SET_IOU

    scores = score(arguments.masks, arguments.maps, metric=arguments.metric or (), config=arguments.config)
    if arguments.out:
        scores.drop(columns=list(COUNTS)).to_csv(arguments.out, index=False)
    found = means(scores)
    print(f"{len(scores)} images")
    known = {metric.key: metric for metric in METRICS}
    for name, value in found.items():
        title, meaning = (known[name].title, known[name].meaning) if name in known else (name, "")
        undefined = int(scores[name].isna().sum()) if name != SET_IOU.key else 0
        left_out = f"  ({undefined} undefined)" if undefined else ""
        print(f"{title:12} {value:.4f}{left_out}  {meaning}".rstrip())


def _predict(arguments: argparse.Namespace) -> None:
    from bench.commands.run import predict

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


def _refine(arguments: argparse.Namespace) -> None:
    from bench.commands.refine import refine

    count = refine(
        refiner=arguments.refiner,
        images=arguments.images,
        maps=arguments.maps,
        out=arguments.out,
        checkpoint=arguments.checkpoint,
        device=arguments.device,
        format=arguments.format,
        workers=arguments.workers,
        force=arguments.force,
        config=arguments.config,
    )
    print(f"{count} maps written to {arguments.out}")


def _train_base(arguments: argparse.Namespace) -> None:
    from bench.commands.train import train_base, weights_in

    folder = train_base(**_options(arguments))
    print(f"trained {arguments.base} on {arguments.dataset}: {weights_in(folder) or folder}")


def _train_refiner(arguments: argparse.Namespace) -> None:
    from bench.commands.train import train_refiner, weights_in

    folder = train_refiner(**_options(arguments))
    print(f"trained {arguments.refiner} on {arguments.dataset}: {weights_in(folder) or folder}")


def _tune(arguments: argparse.Namespace) -> None:
    from bench.commands.train import tune

    found = tune(**_options(arguments))
    text = " ".join(f"{name}={_short(value)}" for name, value in found.parameters.items())
    print(f"{found.trials} trials on {found.images} val images of {found.dataset}, base {found.base}")
    print(f"  defaults  {found.objective} {found.default_score:.4f}")
    print(f"  best      {found.objective} {found.score:.4f}  {text}")
    print(f'with --store {found.store}, \'bench run --refiner "{found.refiner}"\' uses it; elsewhere "{found.fixed}"')


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _export(arguments: argparse.Namespace) -> None:
    from bench.commands.export import export

    export(refiner=arguments.refiner, onnx=arguments.onnx, checkpoint=arguments.checkpoint, config=arguments.config)
    print(arguments.onnx)


def _data_list(arguments: argparse.Namespace) -> None:
    from tabulate import tabulate

    from bench.commands.inventory import datasets

    rows = datasets(_settings(arguments))
    print(json.dumps(rows, indent=2) if arguments.json else tabulate(rows, headers="keys"))


def _data_verify(arguments: argparse.Namespace) -> int:
    from bench.commands.inventory import verify

    wrong = 0
    for name, findings in verify(_settings(arguments), arguments.dataset):
        wrong += sum(finding.error for finding in findings)
        print(f"{name}: {len(findings)} findings, {sum(finding.error for finding in findings)} of them errors")
        for finding in findings:
            print(f"  {'error' if finding.error else 'note '}  {finding.kind:10} {finding.where}: {finding.message}")
    return 2 if wrong else 0


def _list(arguments: argparse.Namespace) -> None:
    from bench.commands.inventory import inventory

    rows = inventory(_settings(arguments), arguments.kind or KINDS, describe=arguments.verbose)
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    for kind, entries in rows.items():
        print(f"{kind}:")
        width = max((len(entry["name"]) for entry in entries), default=0)
        for entry in entries:
            print(f"  {entry['name']:{width}} {entry['status'] or entry['summary']}")
            lines = [f"{key}: {_readable(value)}" for key, value in entry.get("description", {}).items()]
            if arguments.verbose:
                lines += [f"{key} = {value}" for key, value in entry["parameters"].items()]
            for line in lines:
                print(f"  {'':{width}}   {line}")


def _readable(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _new(arguments: argparse.Namespace, kind: Plugged) -> None:
    from bench.commands.new import new

    folder = new(kind, arguments.name, arguments.out)
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        print(file)
    print(f"next: pip install -e {folder} && bench check {arguments.name}")


def _check(arguments: argparse.Namespace) -> None:
    from bench.commands.check import check

    title = ""
    for heading, line in check(arguments.name, kind=arguments.kind, timeout=arguments.timeout, config=arguments.config):
        if heading != title:
            print(f"{heading}:")
        title = heading
        print(f"  {line}", flush=True)


def _doctor(arguments: argparse.Namespace) -> None:
    from bench.commands.inventory import doctor

    for title, lines in doctor(_settings(arguments)).items():
        print(f"{title}:")
        for name, value in lines.items():
            print(f"  {name:28} {value}")


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name, value in vars(arguments).items() if name != "command"}


def _settings(arguments: argparse.Namespace) -> Any:
    from bench.config import load
    from bench.plugins.entry_points import check_parameters

    settings = load(arguments.config, getattr(arguments, "parameters", ()))
    if settings.parameters:
        check_parameters(settings)
    return settings


def _parser() -> argparse.ArgumentParser:
    return parser(
        {
            "run": _run,
            "report": _report,
            "score": _score,
            "predict": _predict,
            "refine": _refine,
            "train base": _train_base,
            "train refiner": _train_refiner,
            "tune": _tune,
            "export": _export,
            "data list": _data_list,
            "data verify": _data_verify,
            "list": _list,
            **{f"new {kind}": partial(_new, kind=kind) for kind in PLUGGED},
            "check": _check,
            "doctor": _doctor,
        }
    )


if __name__ == "__main__":
    sys.exit(main())
