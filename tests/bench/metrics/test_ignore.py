"""Void pixels count for nothing: by arithmetic on the pixels that are left, and whatever a prediction does in them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.metrics import boundary_accuracy, boundary_iou, iou, iou_dataset, mae, score
from bench.metrics.overlap import counts


def scene(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A map, a ground truth and its void."""
    draw = np.random.default_rng(seed)
    shape = tuple(draw.integers(5, 40, 2))
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    distance = np.hypot(rows - shape[0] / 2, columns - shape[1] / 2)
    radius = draw.uniform(2, min(shape) / 2)
    ignore = (distance >= radius) & (distance < radius + draw.integers(0, 4))
    return draw.random(shape).astype(np.float32), distance < radius, ignore


@given(seed=st.integers(0, 10**6))
@settings(max_examples=100, deadline=None)
def test_overlap_and_error_are_those_of_the_other_pixels(seed: int) -> None:
    probs, mask, ignore = scene(seed)
    left, truth = probs[~ignore] >= 0.5, mask[~ignore]
    inside, union = int((left & truth).sum()), int((left | truth).sum())
    assert counts(probs, mask, ignore=ignore) == (inside, union)
    assert iou(probs, mask, ignore=ignore) == (inside / union if union else 1.0)
    assert mae(probs, mask, ignore=ignore) == pytest.approx(np.abs(probs[~ignore].astype(float) - truth).mean())


@given(seed=st.integers(0, 10**6))
@settings(max_examples=100, deadline=None)
def test_what_is_predicted_in_void_changes_nothing(seed: int) -> None:
    probs, mask, ignore = scene(seed)
    other = np.where(ignore, np.random.default_rng(seed + 1).random(probs.shape).astype(np.float32), probs)
    one, two = score(probs, mask, ignore=ignore), score(other, mask, ignore=ignore)
    assert {key: value for key, value in one.items() if value == value} == {
        key: value for key, value in two.items() if value == value
    }
    assert score(probs, mask, ignore=np.zeros_like(mask)) == pytest.approx(score(probs, mask), nan_ok=True)


def test_a_contour_in_void_is_no_contour_of_the_prediction() -> None:
    # Ground truth: columns 0..4 of ten, then three of void. A prediction that ends anywhere in void is right.
    mask, ignore = np.zeros((9, 10), bool), np.zeros((9, 10), bool)
    mask[:, :5], ignore[:, 5:8] = True, True
    for end in (5, 6, 7, 8):
        pred = np.zeros((9, 10), bool)
        pred[:, :end] = True
        assert boundary_iou(pred, mask, d=1, ignore=ignore) == iou(pred, mask, ignore=ignore) == 1
    # One column beyond void: 9 pixels too many. Band of the truth: the frame of 9 x 5; of the prediction, void taken
    # out, the frame of 9 x 5 and the far column.
    pred = np.ones((9, 10), bool)
    pred[:, 9] = False
    frame = 9 * 5 - 7 * 3
    assert boundary_iou(pred, mask, d=1, ignore=ignore) == frame / (frame + 9)
    # At this size the regions of CascadePSP's mBA reach one pixel: columns 4 and 5, of which 5 is void.
    assert boundary_accuracy(pred, mask, ignore=ignore) == 1
    pred[0, 4] = False
    assert boundary_accuracy(pred, mask, ignore=ignore) == pytest.approx(8 / 9)


def test_where_all_is_void_nothing_is_told() -> None:
    pred, mask, ignore = np.ones((4, 4), bool), np.eye(4, dtype=bool), np.ones((4, 4), bool)
    assert iou(pred, mask, ignore=ignore) == 1 and counts(pred, mask, ignore=ignore) == (0, 0)
    assert math.isnan(mae(pred, mask, ignore=ignore)) and math.isnan(boundary_accuracy(pred, mask, ignore=ignore))
    assert iou_dataset([0, 3], [0, 6]) == 0.5  # it adds nothing to the split


@pytest.mark.parametrize("ignore", [np.zeros((4, 5), bool), np.zeros((4, 4), np.uint8)])
def test_void_of_another_shape_or_dtype_is_refused(ignore: np.ndarray) -> None:
    pred = np.ones((4, 4), bool)
    for metric in (iou, mae, boundary_iou, boundary_accuracy):
        with pytest.raises(ValueError, match="expected ignore to be bool"):
            metric(pred, pred, ignore=ignore)
