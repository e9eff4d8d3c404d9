"""``bench score``."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.cli import options
from bench.cli.parser import Commands


def add(commands: Commands) -> None:
    """See `bench.cli`."""
    text = "score any method's maps against masks, matched by file name; no model needed"
    score = commands.add("score", text, _score)
    score.add_argument("--masks", type=Path, required=True, metavar="DIR", help="the ground truth, as images")
    text = "8/16-bit PNG or NPY, of the masks' sizes"
    score.add_argument("--maps", type=Path, required=True, metavar="DIR", help=text)
    options.metric(score)
    score.add_argument("--out", type=Path, metavar="FILE", help="one CSV row an image")


def _score(arguments: argparse.Namespace) -> None:
    from bench.commands.score import means, score
    from bench.metrics.columns import COUNTS, METRICS, SET_IOU
    from bench.runtime.files import check_target

    if arguments.out:
        check_target(arguments.out, "--out")
    scores = score(arguments.masks, arguments.maps, metric=arguments.metric or (), config=arguments.config)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        scores.drop(columns=[*COUNTS]).to_csv(arguments.out, index=False)
    print(f"{len(scores)} images")
    known = {metric.key: metric for metric in METRICS}
    for name, value in means(scores).items():
        title, meaning = (known[name].title, known[name].meaning) if name in known else (name, "")
        undefined = int(scores[name].isna().sum()) if name != SET_IOU.key else 0
        left_out = f"  ({undefined} undefined)" if undefined else ""
        print(f"{title:12} {value:.4f}{left_out}  {meaning}".rstrip())
