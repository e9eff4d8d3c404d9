"""Pairs of a map and a mask: those of the reference set, and 200 small ones that are drawn, odd ones among them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from bench.contracts import Mask, ProbabilityMap
from tests.bench.metrics.shapes import empty, full


@dataclass(frozen=True)
class Pair:
    name: str
    probs: ProbabilityMap
    mask: Mask
    expected: pd.Series


def drawn(count: int = 200) -> Iterator[tuple[ProbabilityMap, Mask]]:
    """Blobs, lines and noise with maps of 8-bit levels; every tenth pair has an empty or a full side.

    The maps are blurred masks with noise, so that some are right, some are broken and some are far off.
    """
    random = np.random.default_rng(20)
    for number in range(count):
        shape = (int(random.integers(1, 40)), int(random.integers(1, 40)))
        mask = _mask(random, shape, number % 3)
        blurred = cv2.blur(mask.astype(np.float32), (3, 3)).reshape(shape)
        level = np.rint(255 * np.clip(blurred + random.normal(0, random.uniform(0, 0.6), shape), 0, 1))
        if number % 10 == 0:
            mask, level = _odd(number // 10, mask, level)
        yield (level / 255).astype(np.float32), mask


def _mask(random: np.random.Generator, shape: tuple[int, int], kind: int) -> Mask:
    if kind == 0:
        return np.asarray(random.random(shape) < random.random())
    mask = np.zeros(shape, np.uint8)
    for _ in range(int(random.integers(1, 5))):
        ends = [tuple(int(random.integers(0, side)) for side in shape[::-1]) for _ in range(2)]
        if kind == 1:
            cv2.line(mask, ends[0], ends[1], 1, int(random.integers(1, 4)))
        else:
            cv2.circle(mask, ends[0], int(random.integers(1, 12)), 1, -1)
    return mask.astype(bool)


def _odd(number: int, mask: Mask, level: np.ndarray) -> tuple[Mask, np.ndarray]:
    nothing, everything = np.zeros_like(level), np.full_like(level, 255)
    kinds = (
        (empty(*mask.shape), nothing),
        (empty(*mask.shape), level),
        (mask, nothing),
        (full(*mask.shape), level),
        (mask, everything),
        (full(*mask.shape), everything),
        (mask, np.full_like(level, 100)),
        (mask, 255.0 * mask),
    )
    return kinds[number % len(kinds)]
