"""Command lines at random: the parser's own options are the grammar, with right and wrong values."""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from bench.cli import parser
from tests.bench.datasets.files import write_image, write_mask
from tests.fuzz.harness import Kind, called

VALUES = (
    *(
        "x",
        "",
        " ",
        "0",
        "-1",
        "1",
        "2",
        "1e9",
        "nan",
        "é",
        "\x1b[2J",
        "a\nb",
        "images",
        "masks",
        "masks/1.png",
        "absent",
    ),
    *(
        "store",
        "out.csv",
        "folder[images=images,masks=masks]",
        "maps[path=masks]",
        "identity",
        "threshold",
        "morphology",
    ),
    *(
        "folder[",
        "prn[size=]",
        "prn[size=-5]",
        "threshold[x=1]",
        "=",
        "[]",
        "a=b",
        "threshold.x=1",
        "onnx[path=bench.toml]",
    ),
    *(
        "quickstart",
        "all",
        "iou",
        "auto",
        "cpu",
        "cuda",
        "ray",
        "inline",
        "A",
        "Z",
        "--",
        "@file",
        "x" * 5000,
        "*_*",
        "*",
    ),
)
LONG = ("doctor", "check", "train base", "train refiner", "tune", "new")
"""Commands that work for longer than an input may take, or that tests of their own cover: given a word too many."""

SETTINGS = """
[defaults]
dataset = ["folder[images=images,masks=masks]"]
base = ["maps[path=masks]"]
refiner = ["identity"]
engine = "inline"
device = "cpu"
store = "store"
"""


@cache
def _commands() -> list[tuple[str, argparse.ArgumentParser]]:
    def below(path: str, part: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
        subs = [action for action in part._actions if isinstance(action, argparse._SubParsersAction)]
        if not subs:
            yield path, part
        for name, command in [item for sub in subs for item in sub.choices.items()]:
            yield from below(f"{path} {name}".strip(), command)

    return list(below("", parser()))


def make(rng: random.Random, folder: Path) -> list[str]:
    for number in range(3):
        write_image(folder / "images" / f"{number}.png")
        write_mask(folder / "masks" / f"{number}.png")
    (folder / "bench.toml").write_text(SETTINGS)
    name, command = rng.choice(_commands())
    argv = name.split()
    actions = [action for action in command._actions if action.dest != "help" or rng.random() < 0.1]
    for action in actions:
        if action.required or rng.random() < 0.25:
            argv += [rng.choice(action.option_strings)] if action.option_strings else []
            if action.nargs != 0:
                argv += rng.choices(VALUES, k=rng.choice((1, 1, 1, 2, 3)) if action.nargs in ("+", "*") else 1)
    if name in LONG or name.startswith("new") or rng.random() < 0.05:
        argv.insert(rng.randrange(len(argv) + 1), rng.choice(("--no-such-option", "--", "-x", "")))
        argv += ["--no-such-option"]
    if rng.random() < 0.05:
        rng.shuffle(argv)
    return argv


def prepare() -> None:
    called(["list", "bases"])


KIND = Kind(300, make, called, prepare)
