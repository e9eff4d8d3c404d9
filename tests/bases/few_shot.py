"""Few-shot splits made up for the tests."""

from __future__ import annotations

import numpy as np

from bench.contracts import Sample

LEVEL = 10
"""Grey level of pair 1; pair n has n times as much, and its class number in the red channel."""


def pair(name: str, number: int, code: int, side: int = 32) -> Sample:
    """An image of one colour that says its class and number; its mask is the ``number`` leftmost columns."""
    image = np.full((side, side, 3), number * LEVEL, np.uint8)
    image[..., 0] = code
    mask = np.zeros((side, side), np.bool_)
    mask[:, :number] = True
    return Sample(f"{name}/{number}", image, mask)


def queries(name: str, code: int, *, shots: int, pairs: int) -> list[Sample]:
    """The queries of a class, its first ``shots`` pairs their support."""
    own = [pair(name, number, code) for number in range(1, pairs + 1)]
    return [Sample(one.id, one.image, one.mask, tuple(own[:shots])) for one in own[shots:]]


def blobs(name: str, *, seed: int, side: int = 64, shots: int = 5, pairs: int = 10) -> list[Sample]:
    """Queries of a class whose pairs are noise with a bright disc, which is the mask."""
    draw = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side]
    own = []
    for number in range(1, pairs + 1):
        top, left = draw.integers(side // 4, 3 * side // 4, 2)
        mask = (rows - top) ** 2 + (columns - left) ** 2 <= (side // 5) ** 2
        image = draw.integers(0, 60, (side, side, 3), dtype=np.uint8) + (mask[..., None] * 150).astype(np.uint8)
        own.append(Sample(f"{name}/{number}", image, mask))
    return [Sample(one.id, one.image, one.mask, tuple(own[:shots])) for one in own[shots:]]
