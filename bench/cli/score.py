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
    score.add_argument(
        "--masks", type=Path, required=True, metavar="DIR", help="the ground truth, as images, or one file"
    )
    text = "8/16-bit PNG or NPY, of the masks' sizes, or one file"
    score.add_argument("--maps", type=Path, required=True, metavar="DIR", help=text)
    options.map_scale(score)
    text = "mask values that are the foreground, where masks hold several classes: grey values or palette indices"
    score.add_argument("--classes", nargs="+", type=options.class_number, default=[], metavar="N", help=text)
    text = "mask values whose pixels no metric counts"
    score.add_argument("--ignore", nargs="+", type=options.class_number, default=[], metavar="N", help=text)
    options.pattern(score, "mask")
    options.pattern(score, "map")
    text = "resize a map of another size to its mask's: area averaging where it shrinks, else bilinear"
    score.add_argument("--resize", action="store_true", help=text)
    options.metric(score)
    options.workers(score, "score", default="as many as there are cores and the images are worth")
    score.add_argument("--out", type=Path, metavar="FILE", help="one CSV row an image")


def _score(arguments: argparse.Namespace) -> None:
    from bench.commands.score import flat, means, score, undefined
    from bench.metrics.columns import METRICS, SET_IOU
    from bench.runtime.files import OUT, check_target, writing

    if arguments.out:
        check_target(arguments.out, "--out")
    scores = score(
        arguments.masks,
        arguments.maps,
        mask_pattern=arguments.mask_pattern,
        map_pattern=arguments.map_pattern,
        resize=arguments.resize,
        metric=arguments.metric or (),
        classes=arguments.classes,
        ignore=arguments.ignore,
        map_scale=arguments.map_scale,
        workers=arguments.workers,
        config=arguments.config,
    )
    if arguments.out:
        with writing(arguments.out, OUT) as temporary:
            flat(scores).to_csv(temporary, index=False)
    print(f"{len(scores)} images")
    for remark in scores.attrs["remarks"]:
        print(remark)
    known = {metric.key: metric for metric in METRICS}
    for name, value in means(scores).items():
        title, meaning = (known[name].title, known[name].meaning) if name in known else (name, "")
        missing = undefined(scores, name) if name != SET_IOU.key else 0
        left_out = f"  ({missing} undefined)" if missing else ""
        print(f"{title:12} {value:.4f}{left_out}  {meaning}".rstrip())
