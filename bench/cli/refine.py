"""``bench refine``."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.cli import options
from bench.cli.parser import Commands


def add(commands: Commands) -> None:
    """See `bench.cli`."""
    text = "refine a folder of maps, matched with their images by file name; no masks needed"
    refine = commands.add("refine", text, _refine)
    options.trained_refiner(refine)
    refine.add_argument("--images", type=Path, required=True, metavar="DIR", help="RGB images, or one file")
    text = "8/16-bit PNG or NPY, of the images' sizes, or one file"
    refine.add_argument("--maps", type=Path, required=True, metavar="DIR", help=text)
    options.map_scale(refine)
    options.pattern(refine, "image")
    options.pattern(refine, "map")
    text = "refined maps, of the same names, with a record of what made them (.bench-refine)"
    refine.add_argument("--out", type=Path, required=True, metavar="DIR", help=text)
    text = "of the refined maps; default: the map's"
    refine.add_argument("--format", default="like", metavar="like|png8|png16|npy", help=text)
    options.workers(refine)
    options.device(refine)
    refine.add_argument(
        "--force", action="store_true", help="refine all maps, those that --out holds too, whoever made them"
    )


def _refine(arguments: argparse.Namespace) -> None:
    from bench.commands.refine import refine

    count = refine(**options.given(arguments))
    print(f"{count} maps written to {arguments.out}")
