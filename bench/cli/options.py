"""The commands' names, options and help texts."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from bench.config import Device, EngineName, OnError
from bench.contracts import PROTOCOLS, SPLITS

KINDS = ("datasets", "bases", "refiners", "metrics", "experiments")
Plugged = Literal["dataset", "base", "refiner", "metric"]
PLUGGED: tuple[Plugged, ...] = ("dataset", "base", "refiner", "metric")

Command = Callable[[argparse.Namespace], Any]


def parser(commands: Mapping[str, Command]) -> argparse.ArgumentParser:
    """The parser of the whole command line; what it parses carries its function as ``command``.

    Args:
        commands: function of each command, by the command's name (``"run"``, ``"data list"``).
    """
    whole = _Parser(
        prog="bench",
        description="Which refinement method improves my segmentation masks, by how much, and at what cost?",
        epilog="A name may carry parameters wherever one is taken: --refiner 'prn[size=128]'. "
        "Exit codes: 0 done, 2 you can fix it (one line on stderr says how), 1 a defect of ours.",
    )
    top = whole.add_subparsers(metavar="COMMAND", required=True)
    groups = {"": top}

    def add(name: str, text: str) -> argparse.ArgumentParser:
        group, _, last = name.rpartition(" ")
        if group not in groups:
            texts = {
                "data": "list or verify the datasets found here",
                "new": "write an installable package with a plug-in of your own to start from",
                "train": "train a base or a refiner alone; a run on the same store reuses it",
            }
            groups[group] = top.add_parser(group, help=texts[group]).add_subparsers(metavar="ACTION", required=True)
        added: argparse.ArgumentParser = groups[group].add_parser(last, help=text, description=text)
        added.set_defaults(command=commands[name])
        added.add_argument("--config", type=Path, metavar="FILE", help="settings instead of ./bench.toml")
        return added

    _run(add("run", "compute the cells of a grid that the store does not hold yet, and print their table"))
    _report(add("report", "tables of a store: Markdown unless another form is named"))
    _score(add("score", "score any method's maps against masks, matched by file name; no model needed"))
    _predict(add("predict", "write a base's maps as 16-bit PNG, for 'bench score' and 'maps[path=...]'"))
    _refine(add("refine", "refine a folder of maps, matched with their images by file name; no masks needed"))
    _train_base(add("train base", "train a base on a dataset, or go on with a training that was stopped"))
    _train_refiner(
        add("train refiner", "train a refiner on a base's maps of val, and the base first where it has to be")
    )
    _tune(add("tune", "search a refiner's parameters on a base's maps of val; a run on the same store reuses it"))
    _export(add("export", "write a trained refiner as an ONNX file, which runs without this program"))
    _data_list(add("data list", "each dataset's folder and the sizes of its splits"))
    _data_verify(add("data verify", "read every file and list what is not as it should be"))
    _list(add("list", "what can be named: datasets, bases, refiners, metrics, experiments"))
    _new(add)
    _check(add("check", "run the contract's checks on installed plug-ins; exit code 2 where one fails"))
    add("doctor", "versions, device, extras and datasets found: what to put into a bug report")
    return whole


def _run(run: argparse.ArgumentParser) -> None:
    run.add_argument("--experiment", metavar="E", help="a named grid of bench.toml; options below override its parts")
    run.add_argument("--dataset", nargs="+", metavar="D")
    run.add_argument("--base", nargs="+", metavar="B")
    run.add_argument("--refiner", nargs="+", metavar="R")
    _metric(run)
    run.add_argument("--seed", nargs="+", metavar="S")
    meanings = "; ".join(f"{name}: {meaning}" for name, meaning in PROTOCOLS.items())
    run.add_argument("--protocol", nargs="+", metavar="|".join(PROTOCOLS), help=meanings)
    _set(run)
    run.add_argument("--store", type=Path, metavar="DIR", help="where finished cells are kept")
    run.add_argument("--device", metavar=_one_of(Device))
    run.add_argument("--engine", metavar=_one_of(EngineName))
    run.add_argument("--limit", metavar="N", help="only the first N samples of each split")
    run.add_argument("--tune", metavar="N", help="tune every refiner that can be, with N trials on val")
    _objective(run)
    run.add_argument("--epochs", metavar="N", help="of every base and refiner that is trained")
    run.add_argument(
        "--on-error", metavar=_one_of(OnError), help="stop at the first failed cell, or record it and go on"
    )
    _workers(run)
    run.add_argument("--force", action="store_true", help="compute the named cells anew (base maps are kept)")


def _workers(command: argparse.ArgumentParser) -> None:
    text = "refine images in N processes side by side, one native thread each"
    command.add_argument("--workers", metavar="N", help=text)


def _objective(command: argparse.ArgumentParser) -> None:
    command.add_argument("--objective", metavar="METRIC", help="what the tuning goes by; default: iou")


def _metric(command: argparse.ArgumentParser) -> None:
    command.add_argument("--metric", nargs="+", metavar="M", help="plug-ins to score by, beside the built-in metrics")


def _set(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--set",
        dest="parameters",
        nargs="+",
        default=[],
        metavar="NAME.KEY=VALUE",
        help="a parameter wherever that dataset, base or refiner is used: --set prn.size=96",
    )


def _report(report: argparse.ArgumentParser) -> None:
    report.add_argument("--store", type=Path, metavar="DIR")
    report.add_argument("--experiment", metavar="E", help="only the cells of this experiment")
    _set(report)
    for name, text in (
        ("markdown", "Markdown tables"),
        ("latex", "a LaTeX document with booktabs tables"),
        ("csv", "one plain row a cell, full precision"),
    ):
        report.add_argument(f"--{name}", action="store_true", help=text)
    report.add_argument("--out", type=Path, metavar="DIR", help="write report.md, .tex, .csv there instead of printing")


def _score(score: argparse.ArgumentParser) -> None:
    score.add_argument("--masks", type=Path, required=True, metavar="DIR")
    score.add_argument(
        "--maps", type=Path, required=True, metavar="DIR", help="8/16-bit PNG or NPY, of the masks' sizes"
    )
    _metric(score)
    score.add_argument("--out", type=Path, metavar="FILE", help="one CSV row an image")


def _predict(predict: argparse.ArgumentParser) -> None:
    predict.add_argument("--dataset", required=True, metavar="D")
    predict.add_argument("--base", required=True, metavar="B")
    predict.add_argument("--out", type=Path, required=True, metavar="DIR")
    predict.add_argument("--split", nargs="+", metavar="|".join(SPLITS), default=list(SPLITS))
    predict.add_argument("--seed", default=0, metavar="S")
    predict.add_argument("--device", metavar=_one_of(Device))
    predict.add_argument("--limit", metavar="N", help="only the first N samples of each split")


def _refine(refine: argparse.ArgumentParser) -> None:
    _trained_refiner(refine)
    refine.add_argument("--images", type=Path, required=True, metavar="DIR")
    refine.add_argument(
        "--maps", type=Path, required=True, metavar="DIR", help="8/16-bit PNG or NPY, of the images' sizes"
    )
    refine.add_argument("--out", type=Path, required=True, metavar="DIR", help="refined maps, of the same names")
    refine.add_argument(
        "--format", default="like", metavar="like|png8|png16|npy", help="of the refined maps; default: the map's"
    )
    _workers(refine)
    refine.add_argument("--device", metavar=_one_of(Device))
    refine.add_argument("--force", action="store_true", help="refine the maps that --out holds too")


def _train_base(train: argparse.ArgumentParser) -> None:
    train.add_argument("base", metavar="B", help="e.g. 'unet[encoder=resnet18]'")
    train.add_argument("--protocol", metavar="|".join(PROTOCOLS), default="A", help="B: on train and val")
    _train(train)


def _train_refiner(train: argparse.ArgumentParser) -> None:
    train.add_argument("refiner", metavar="R", help="e.g. 'prn[size=256]'")
    train.add_argument("--base", required=True, metavar="B", help="whose maps it learns from")
    _train(train)


def _tune(tune: argparse.ArgumentParser) -> None:
    tune.add_argument("--refiner", required=True, metavar="R", help="parameters that it carries stay as they are")
    tune.add_argument("--trials", required=True, metavar="N", help="the defaults are the first")
    _objective(tune)
    tune.add_argument("--dataset", metavar="D")
    tune.add_argument("--base", metavar="B", help="whose maps it is tuned on")
    _learning(tune)


def _train(train: argparse.ArgumentParser) -> None:
    train.add_argument("--dataset", required=True, metavar="D")
    train.add_argument("--epochs", metavar="N", help="in place of its own")
    _learning(train)


def _learning(train: argparse.ArgumentParser) -> None:
    train.add_argument("--seed", default=0, metavar="S")
    _set(train)
    train.add_argument("--limit", metavar="N", help="only the first N samples of each split")
    train.add_argument("--store", type=Path, metavar="DIR", help="where a run will look for what was trained")
    train.add_argument("--device", metavar=_one_of(Device))


def _export(export: argparse.ArgumentParser) -> None:
    _trained_refiner(export)
    export.add_argument("--onnx", type=Path, required=True, metavar="FILE")


def _trained_refiner(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--refiner", required=True, metavar="R")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="PATH",
        help="what it learned: the folder STORE/refiners/KEY of 'bench run', or a weights file",
    )


def _data_list(listing: argparse.ArgumentParser) -> None:
    listing.add_argument("--json", action="store_true")


def _data_verify(verify: argparse.ArgumentParser) -> None:
    verify.add_argument("dataset", nargs="*", metavar="D", help="default: every dataset found here")


def _list(catalogue: argparse.ArgumentParser) -> None:
    catalogue.add_argument("kind", nargs="*", choices=[[], *KINDS], default=[], metavar="KIND", help=", ".join(KINDS))
    catalogue.add_argument("--verbose", action="store_true", help="with their parameters and defaults")
    catalogue.add_argument("--json", action="store_true")


def _new(add: Callable[[str, str], argparse.ArgumentParser]) -> None:
    for kind in PLUGGED:
        new = add(f"new {kind}", f"write an installable package with a {kind}, its test and a README")
        new.add_argument("name", metavar="NAME", help=f"what --{kind} will call it: small letters, digits and '-'")
        new.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where the folder NAME is made")


def _check(check: argparse.ArgumentParser) -> None:
    check.add_argument("name", nargs="+", metavar="NAME", help="with parameters where it needs some: 'unet[size=64]'")
    check.add_argument("--kind", choices=PLUGGED, help="where a base and a refiner, say, have one name")
    check.add_argument("--timeout", type=_positive, default=300, metavar="S", help="seconds for one check; default 300")


def _one_of(choices: Any) -> str:
    """The values of a Literal for a help text; `bench.config.Grid` refuses others."""
    return "|".join(get_args(choices))


def _positive(text: str) -> int:
    number = int(text) if text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return number


class _Parser(argparse.ArgumentParser):
    """Errors in the one form that all errors have."""

    def error(self, message: str) -> Any:
        self.exit(2, f"bench: error: {message} ({self.prog}): see '{self.prog} --help'\n")
