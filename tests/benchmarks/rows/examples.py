"""Maps and masks that the rows work on: drawn ones always, the reference set's where it is there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import expit

from bench.contracts import Mask, ProbabilityMap
from tests.benchmarks.contests import MissingError
from tests.conftest import REPOSITORY

Kind = Literal["golden", "objects", "noise"]
GOLDENS = {512: "62_bias_512x512", 1024: "66_bias_1024x1024"}


@dataclass(frozen=True)
class Example:
    """One image's map, in three forms, and its ground truth, all ``(H, W)``.

    Attributes:
        exact: float64 in [0, 1], not rounded to codes; where the map came as codes, they divided.
        codes: uint8, ``round(255 * exact)``.
        probs: float32, ``codes / 255``: what `bench` reads of an 8-bit map.
        mask: bool.
    """

    exact: NDArray[np.float64]
    codes: NDArray[np.uint8]
    probs: ProbabilityMap
    mask: Mask


def shared(variable: str, default: Path) -> Path:
    """A folder of the project's reference data. Raises MissingError."""
    path = Path(os.environ.get(variable) or default)
    if not path.is_dir():
        raise MissingError(f"no reference data: {variable} names no folder that is there")
    return path


@cache
def example(kind: Kind, side: int) -> Example:
    """A square one.

    Args:
        kind: "golden" of the reference set; "objects" soft-edged, with saturated insides; "noise", where sorting has
            most to do.
        side: in pixels; a golden of 512 or 1024.

    Raises:
        MissingError: there is no reference set here.
    """
    if kind == "golden":
        folder = shared("BENCH_SHARED", REPOSITORY.parent / "shared")
        with np.load(folder / "goldens" / "pairs" / f"{GOLDENS[side]}.npz") as arrays:
            return _example(arrays["prob"] / 255, arrays["gt"].astype(bool))
    draw = np.random.default_rng(0)
    if kind == "noise":
        return _example(draw.random((side, side)), draw.random((side, side)) < 0.4)
    shape, error = (gaussian_filter(draw.standard_normal((side, side)), sigma) for sigma in (20, 3))
    return _example(expit(4 * shape / shape.std() + 1.6 * error / error.std()), shape > 0)


def _example(exact: NDArray[np.float64], mask: Mask) -> Example:
    codes = np.rint(255 * exact).astype(np.uint8)
    return Example(exact, codes, (codes / 255).astype(np.float32), mask)
