"""Options that several commands have, and what the commands read off all of theirs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from bench.config import Device, Settings, load

DATASET = (
    "see 'bench list datasets'; your own: folder[images=DIR,masks=DIR], or folder[csv=FILE] with a header and the "
    "columns image, mask and, if need be, id and split (train, val, test)"
)

STORE = "where finished cells are kept: a folder, which several runs may share, or s3://, gs://, az:// BUCKET/PREFIX"


def given(arguments: argparse.Namespace, *, but: Sequence[str] = ()) -> dict[str, Any]:
    """The options, ``but`` for some, as keywords of the function of the command's name."""
    return {name: value for name, value in vars(arguments).items() if name not in ("command", *but)}


def settings_of(arguments: argparse.Namespace) -> Settings:
    """The settings, with what ``--set`` gives. Raises UserError as `bench.config.load`."""
    settings = load(arguments.config, getattr(arguments, "parameters", ()))
    if settings.parameters:
        from bench.plugins.entry_points import check_parameters

        check_parameters(settings)
    return settings


def one_of(choices: Any) -> str:
    """The values of a Literal for a help text; `bench.config.Grid` refuses others."""
    return "|".join(get_args(choices))


def whole_seconds(text: str) -> int:
    """A positive whole number."""
    number = int(text) if text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return number


def class_number(text: str) -> int:
    """A value that a pixel of a mask may have."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no grey value and no palette index")
    return int(text)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return number


def map_scale(command: argparse.ArgumentParser) -> None:
    text = "the value of the maps that stands for probability 1, where that is unclear, e.g. 255"
    command.add_argument("--map-scale", type=_positive, metavar="N", help=text)


def device(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", metavar=one_of(Device), help="auto: cuda where there is a GPU, else cpu")


def limit(command: argparse.ArgumentParser) -> None:
    command.add_argument("--limit", metavar="N", help="only a random sample of N of each split, the same in every run")


def workers(command: argparse.ArgumentParser, does: str = "refine", *, default: str = "") -> None:
    text = f"{does} images in N processes side by side, one native thread each"
    command.add_argument("--workers", metavar="N", help=f"{text}; default: {default}" if default else text)


def objective(command: argparse.ArgumentParser) -> None:
    command.add_argument("--objective", metavar="METRIC", help="what the tuning goes by; default: iou")


def pattern(command: argparse.ArgumentParser, what: str) -> None:
    """Of the names of ``what``, in the singular."""
    text = f"of the {what}s' names without suffix, * for the part that is matched: '*_{what}'"
    command.add_argument(f"--{what}-pattern", default="", metavar="P", help=text)


def metric(command: argparse.ArgumentParser) -> None:
    command.add_argument("--metric", nargs="+", metavar="M", help="plug-ins to score by, beside the built-in metrics")


def parameters(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--set",
        dest="parameters",
        nargs="+",
        default=[],
        metavar="NAME.KEY=VALUE",
        help="a parameter wherever that dataset, base or refiner is used: --set prn.size=96",
    )


def learning(command: argparse.ArgumentParser) -> None:
    """What a command that trains one thing takes."""
    command.add_argument("--seed", default=0, metavar="S", help="of all that is drawn")
    parameters(command)
    limit(command)
    command.add_argument("--store", metavar="DIR|URL", help="where a run will look for what was trained")
    device(command)


def trained_refiner(command: argparse.ArgumentParser) -> None:
    command.add_argument("--refiner", required=True, metavar="R", help="see 'bench list refiners'")
    command.add_argument(
        "--checkpoint",
        type=Path,
        metavar="PATH",
        help="what it learned: the folder STORE/refiners/KEY of 'bench run', or a weights file",
    )


def readable(value: object) -> str:
    """A number that was found, short."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
