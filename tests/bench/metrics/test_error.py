from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from bench.contracts import Mask, ProbabilityMap
from bench.metrics import mae
from tests.bench.metrics.shapes import UNHURRIED, empty, full, maps_and_masks


def test_by_hand() -> None:
    probs = np.array([[0.75, 0.25], [1.0, 0.5]], dtype=np.float32)
    mask = np.array([[True, False], [False, True]])
    assert mae(probs, mask) == (0.25 + 0.25 + 1 + 0.5) / 4


def test_map_is_not_stretched() -> None:
    # Stretched to [0, 1] this map would be perfect.
    probs = np.array([[0.75, 0.5]], dtype=np.float32)
    assert mae(probs, np.array([[True, False]])) == (0.25 + 0.5) / 2


def test_empty_masks() -> None:
    assert mae(np.zeros((3, 3), dtype=np.float32), empty(3, 3)) == 0
    assert mae(np.full((3, 3), 0.25, dtype=np.float32), empty(3, 3)) == 0.25


def test_sums_in_double_precision() -> None:
    # In float16 the sum would overflow its 65504, and the mean would be infinite.
    assert mae(np.ones((300, 300), dtype=np.float16), empty(300, 300)) == 1


def test_bool_counts_the_wrong_pixels() -> None:
    assert mae(np.array([[True, True, False, False]]), np.array([[True, False, True, False]])) == 0.5


@UNHURRIED
@given(maps_and_masks())
def test_properties(pair: tuple[ProbabilityMap, Mask]) -> None:
    probs, mask = pair
    wanted = sum(1 - p if m else p for p, m in zip(probs.ravel().tolist(), mask.ravel().tolist(), strict=True))
    assert mae(probs, mask) == pytest.approx(wanted / mask.size, rel=0, abs=1e-12)
    assert 0 <= mae(probs, mask) <= 1
    assert mae(mask.astype(np.float32), mask) == 0
    assert mae(np.fliplr(probs), np.fliplr(mask)) == pytest.approx(mae(probs, mask), rel=0, abs=1e-12)
    assert mae(probs, full(*mask.shape)) + mae(probs, empty(*mask.shape)) == pytest.approx(1, rel=0, abs=1e-12)
