"""Pseudo-labels of one 512x512 map, P = 64, one thread: ours against the 20-step grid as one would write it.

A job's fastest round counts: it is the one that other processes disturbed least. pytest-benchmark's own table has the
medians.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.patches import patch_optimal
from tests.benchmarks.conftest import Tables
from tests.benchmarks.grid_as_written import grid_as_written, iou_of_booleans
from tests.benchmarks.rows.examples import Kind, example
from tests.benchmarks.rows.pseudo_labels import PATCH, SIDE, compiled

Job = Callable[[], object]


def as_written(probs: np.ndarray, mask: np.ndarray) -> Job:
    truth = mask.astype(np.float64)
    return lambda: grid_as_written(probs, truth, PATCH)


def as_written_in_booleans(probs: np.ndarray, mask: np.ndarray) -> Job:
    return lambda: grid_as_written(probs, mask, PATCH, iou_of_booleans)


def grid_option(probs: np.ndarray, mask: np.ndarray) -> Job:
    return lambda: patch_optimal(probs, mask, PATCH, smooth=1.0, thresholds="grid")


def exact(kind: str) -> Callable[[np.ndarray, np.ndarray], Job]:
    def contestant(probs: np.ndarray, mask: np.ndarray) -> Job:
        largest = np.iinfo(kind).max if kind[0] == "u" else 1
        stored = (probs * largest + (0.5 if kind[0] == "u" else 0)).astype(kind)
        return lambda: patch_optimal(stored, mask, PATCH, smooth=1.0)

    return contestant


CONTESTANTS: dict[str, Callable[[np.ndarray, np.ndarray], Job]] = {
    "20-step grid as written": as_written,
    "the same in booleans": as_written_in_booleans,
    "our 20-step grid": grid_option,
    "exact, 8-bit": exact("uint8"),
    "exact, 16-bit": exact("uint16"),
    "exact, float32": exact("float32"),
    "exact, float64": exact("float64"),
}


@pytest.mark.parametrize("name", CONTESTANTS)
@pytest.mark.parametrize("kind", ["objects", "noise"])
def test_pseudo_labels(benchmark: BenchmarkFixture, tables: Tables, kind: Kind, name: str) -> None:
    compiled()  # whichever contestant comes first
    given = example(kind, SIDE)
    job = CONTESTANTS[name](given.exact, given.mask)
    benchmark.group = f"pseudo-labels, {SIDE}x{SIDE}, P = {PATCH}, {kind}, fastest round"
    benchmark(job)
    if not benchmark.disabled:
        tables(benchmark.group).add(name, benchmark.stats["min"])
