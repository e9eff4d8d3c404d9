"""``bench score`` over many small maps, beside what it takes to merely read the files and decode them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

import bench
from tests.benchmarks.contests import Contest, Jobs

MAPS, SIDE = 20_000, 64


def draw(folder: Path, count: int = MAPS, side: int = SIDE) -> None:
    """Masks with a square each, and noisy maps of them, 8-bit PNG: ``masks/`` and ``maps/``."""
    random = np.random.default_rng(0)
    for name in ("masks", "maps"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        mask = np.zeros((side, side), np.uint8)
        row, column = random.integers(2, side // 2, 2)
        mask[row : row + side // 3, column : column + side // 3] = 255
        noisy = np.clip(0.7 * mask + random.normal(38, 20, mask.shape), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / "masks" / f"{number:06}.png"), mask)
        cv2.imwrite(str(folder / "maps" / f"{number:06}.png"), noisy)


def folder_of_maps(folder: Path) -> Jobs:
    files = sorted((folder / "masks").iterdir()) + sorted((folder / "maps").iterdir())

    def peer() -> int:
        for path in files:
            cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
        return len(files) // 2

    return Jobs(peer, lambda: len(bench.score(folder / "masks", folder / "maps")))


def as_many(theirs: int, own: int) -> None:
    assert theirs == own == MAPS


ROWS = [
    Contest(
        work=f"bench score of {MAPS:,} maps",
        setting=f"{SIDE}x{SIDE}, 8-bit PNG",
        peer="reading and decoding alone",
        ours="bench.score",
        prepare=folder_of_maps,
        files=draw,
        agree=as_many,
        agreement="on how many there are",
        images=MAPS,
        clock="wall",
        rounds=3,
        processes=1,
        note="The peer is the floor: one thread of OpenCV that decodes both files of each pair and does nothing else. "
        "At this size a third of ours is metrics, whose calls weigh more than what they move.",
    )
]
