"""The row of one image, and what every metric refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from bench.contracts import Mask, ProbabilityMap
from bench.metrics import boundary_accuracy, boundary_iou, counts, iou, mae, score
from tests.bench.metrics.shapes import UNHURRIED, empty, full, maps_and_masks
from tests.bench.records import METRIC_COLUMNS

METRICS = [iou, counts, boundary_iou, boundary_accuracy, mae, score]


def test_columns_are_the_stores() -> None:
    row = score(np.array([[0.75, 0.25]], dtype=np.float32), np.array([[True, False]]))
    assert tuple(row) == METRIC_COLUMNS
    assert {name for name, value in row.items() if type(value) is int} == {"intersection", "union"}
    assert {type(value) for value in row.values()} == {int, float}


@UNHURRIED
@given(maps_and_masks())
def test_row_is_what_the_metrics_say(pair: tuple[ProbabilityMap, Mask]) -> None:
    intersection, union = counts(*pair)
    wanted = {
        "iou": iou(*pair),
        "intersection": intersection,
        "union": union,
        "boundary_iou": boundary_iou(*pair, d=15),
        "boundary_iou_2pct": boundary_iou(*pair, ratio=0.02),
        "boundary_accuracy": boundary_accuracy(*pair),
        "mae": mae(*pair),
    }
    assert score(*pair) == pytest.approx(wanted, rel=0, abs=0, nan_ok=True)


def test_the_two_bands_differ_where_they_should() -> None:
    # 300 pixels wide: 2 % of the diagonal is 8 pixels, so a frame of 15 is the band of the first alone.
    ring = full(300, 300)
    ring[15:-15, 15:-15] = False
    row = score(ring, full(300, 300))
    assert row["boundary_iou"] == 1
    assert row["boundary_iou_2pct"] == (300**2 - 284**2) / (300**2 - 270**2)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.__name__)
@pytest.mark.parametrize(
    ("pred", "mask", "message"),
    [
        (full(4, 5), full(5, 4), r"mask's shape \(5, 4\), got \(4, 5\)"),
        (np.ones((4, 4), np.uint8), full(4, 4), "bool mask or a float map in .*, got uint8"),
        (np.ones((4, 4), np.complex64), full(4, 4), "got complex64"),
        (full(4, 4), np.ones((4, 4), np.uint8), "expected mask to be bool, got uint8"),
        (full(4, 4), np.ones((4, 4), np.float32), "expected mask to be bool, got float32"),
        (np.array([[0.5, np.nan]], np.float32), full(1, 2), "got NaN"),
        (np.array([[0.5, np.inf]], np.float32), full(1, 2), "from 0.5 to inf"),
        (np.array([[0.0, 255.0]], np.float32), full(1, 2), "from 0 to 255"),
        (np.array([[-0.5, 1.0]], np.float32), full(1, 2), "from -0.5 to 1"),
        ([[1.0]], full(1, 1), "expected pred to be a numpy array, got list"),
        (full(1, 1), [[True]], "expected mask to be a numpy array, got list"),
        (full(2, 2)[None], full(2, 2)[None], r"expected mask to be \(H, W\).*got shape \(1, 2, 2\)"),
        (empty(0, 3), empty(0, 3), "at least one pixel"),
    ],
)
def test_refuses(metric: Callable[..., Any], pred: object, mask: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        metric(pred, mask)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.__name__)
def test_leaves_its_arguments_alone_and_takes_any_memory_layout(metric: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    probs, mask = rng.random((40, 30), dtype=np.float32), rng.random((40, 30)) > 0.5
    wanted = metric(probs, mask)
    for array in (probs, mask):
        array.flags.writeable = False
    assert metric(probs, mask) == wanted
    assert metric(np.asfortranarray(probs), np.asfortranarray(mask)) == wanted
    assert metric(np.repeat(probs, 2, axis=1)[:, ::2], np.repeat(mask, 2, axis=1)[:, ::2]) == wanted
    assert metric(probs[::-1][::-1], mask[::-1][::-1]) == wanted
