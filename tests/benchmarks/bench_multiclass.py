"""Multi-class patch-optimal labels of one 512x512 image, P = 64, one core: seconds of wall and of processor time."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bench.refiners.prn.multiclass import patch_optimal_multiclass
from tests.benchmarks.conftest import Tables

SIDE, PATCH = 512, 64


def example(classes: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Maps and labels: smooth regions of all classes with errors, or noise, where the search has most to do."""
    rng = np.random.default_rng(0)
    if kind == "noise":
        probs = rng.dirichlet(np.ones(classes), (SIDE, SIDE)).transpose(2, 0, 1)
        return probs.astype(np.float32), rng.integers(0, classes, (SIDE, SIDE))
    shape, error = (gaussian_filter(rng.standard_normal((classes, SIDE, SIDE)), (0, sigma, sigma)) for sigma in (20, 3))
    powers = np.exp(4 * shape / shape.std() + 2 * error / error.std())
    return (powers / powers.sum(axis=0)).astype(np.float32), shape.argmax(axis=0)


@pytest.mark.parametrize("classes", [3, 8, 21])
@pytest.mark.parametrize("kind", ["regions", "noise"])
def test_multiclass(tables: Tables, kind: str, classes: int) -> None:
    probs, truth = example(classes, kind)
    wall, processor = time.perf_counter(), time.process_time()
    found = patch_optimal_multiclass(probs, truth, PATCH)
    processor, wall = time.process_time() - processor, time.perf_counter() - wall
    title = f"multi-class labels, {SIDE}x{SIDE}, P = {PATCH}, {kind}"
    tables(title).add(f"{classes} classes", wall, processor_s=processor, mean_miou=float(found.mious.mean()))
    assert processor < 20
