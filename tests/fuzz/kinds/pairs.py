"""The CSV of ``folder[csv=FILE]``."""

from __future__ import annotations

import random
from pathlib import Path

from bench.datasets.folder import Folder
from tests.bench.datasets.files import write_image, write_mask
from tests.fuzz.damage import damaged
from tests.fuzz.harness import Kind, asked

CELLS = (
    "1.png",
    "2.png",
    "m1.png",
    "",
    "../1.png",
    "/dev/null",
    ".",
    "x" * 5000,
    '"',
    "a\0b",
    "train",
    "test",
    "é",
    "=1+1",
)


def make(rng: random.Random, folder: Path) -> Path:
    for number in (1, 2):
        write_image(folder / f"{number}.png")
        write_mask(folder / f"m{number}.png")
    rows = ["image,mask,id,split", "1.png,m1.png,a,val", "2.png,m2.png,b,test"]
    if rng.random() < 0.5:
        rows += [",".join(rng.choice(CELLS) for _ in range(rng.randrange(6))) for _ in range(rng.randrange(1, 4))]
    if rng.random() < 0.3:
        rows[0] = ",".join(rng.choices(("image", "mask", "id", "split", "", "other"), k=rng.randrange(1, 6)))
    data = rng.choice(("\n", "\r\n", "\r")).join(rows).encode(rng.choice(("utf-8", "utf-8-sig", "utf-16")))
    path = folder / "pairs.csv"
    path.write_bytes(damaged(data, rng) if rng.random() < 0.7 else data)
    return path


def door(path: Path) -> bool:
    def read() -> None:
        source = Folder(root=path.parent, csv=path)
        source.verify()
        for index in range(len(test := source.split("test"))):
            assert test[index].image.shape == (6, 8, 3)

    return asked(read)


KIND = Kind(350, make, door)
