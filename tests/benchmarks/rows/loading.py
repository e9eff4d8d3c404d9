"""Reading a dataset's pairs."""

from __future__ import annotations

import numpy as np
from PIL import Image

from bench.contracts import SPLITS
from bench.datasets.kvasir import Kvasir
from bench.runtime.ahead import in_order
from tests.benchmarks.contests import Contest, Jobs
from tests.benchmarks.rows.examples import shared
from tests.conftest import REPOSITORY

PAIRS = 1000
COMPARED = 20
Loaded = list[tuple[np.ndarray, np.ndarray]]


def kvasir() -> Jobs:
    root = shared("BENCH_DATA", REPOSITORY.parent / "shared" / "data") / "kvasir" / "Kvasir-SEG"
    splits = [Kvasir(root=root).split(name) for name in SPLITS]
    names = [name for split in splits for name in split.ids]

    def peer() -> Loaded:
        kept = []
        for number, name in enumerate(names):
            image = np.asarray(Image.open(root / "images" / f"{name}.jpg").convert("RGB"))
            mask = np.asarray(Image.open(root / "masks" / f"{name}.jpg").convert("L")) > 127
            if number < COMPARED:
                kept.append((image, mask))
        return kept

    def ours() -> Loaded:
        kept = []
        for number, sample in enumerate(sample for split in splits for sample in in_order(split)):
            if number < COMPARED:
                kept.append((sample.image, sample.mask))
        return kept

    return Jobs(peer, ours)


def same_pictures(theirs: Loaded, own: Loaded) -> None:
    assert len(theirs) == len(own) == COMPARED
    for (image, mask), (our_image, our_mask) in zip(theirs, own, strict=True):
        assert (mask == our_mask).all()
        assert np.abs(image.astype(int) - our_image).max() <= 3


ROWS = [
    Contest(
        work="loading 1,000 Kvasir-SEG pairs",
        setting="JPEG, 332 to 1920 px",
        peer="PIL and numpy in a loop",
        ours="bench.datasets.kvasir, read in order",
        prepare=kvasir,
        target=3,
        agree=same_pictures,
        agreement=f"on the first {COMPARED}: masks bit for bit, images within 3 levels of 255",
        images=PAIRS,
        clock="wall",
        note="Threads read ahead of whoever uses the samples: as many as there are cores.",
        missed="A pair is decoded in 0.7 ms of CPU time at the least, and takes 0.87 ms on one thread; two threads at "
        "once take 1.05 ms each, as they share the interpreter's lock and, we believe, the way to memory.",
        rounds=3,
        processes=1,
    )
]
