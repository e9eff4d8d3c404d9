from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from bench.metrics import counts, dice, iou, iou_dataset, miou_fgbg, precision, recall
from tests.bench.metrics.pairs import Pair, drawn
from tests.bench.metrics.shapes import UNHURRIED, MaskPair, empty, full, mask_pairs


def test_counts_by_hand() -> None:
    pred, mask = empty(4, 6), empty(4, 6)
    pred[0:2, 0:4] = True  # 8 pixels
    mask[1:4, 2:6] = True  # 12 pixels, 2 of them shared
    assert counts(pred, mask) == (2, 18)
    assert iou(pred, mask) == 2 / 18


def test_empty_masks() -> None:
    assert iou(empty(3, 3), empty(3, 3)) == 1
    assert iou(full(3, 3), empty(3, 3)) == 0
    assert iou(empty(3, 3), full(3, 3)) == 0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_one_half_is_foreground_and_the_next_value_below_is_not(dtype: type[np.floating]) -> None:
    below = np.nextafter(dtype(0.5), dtype(0))
    assert counts(np.array([[0.5, below]], dtype=dtype), full(1, 2)) == (1, 2)


@UNHURRIED
@given(mask_pairs())
def test_bounds_and_symmetry(pair: MaskPair) -> None:
    pred, mask = pair
    assert 0 <= iou(pred, mask) <= 1
    assert iou(pred, mask) == iou(mask, pred)
    assert iou(mask, mask) == 1
    assert (iou(pred, mask) == 1) == np.array_equal(pred, mask)


@UNHURRIED
@given(mask_pairs())
def test_counts_are_those_of_the_sets_of_pixels(pair: MaskPair) -> None:
    pred, mask = ({tuple(pixel) for pixel in np.argwhere(array).tolist()} for array in pair)
    assert counts(*pair) == (len(pred & mask), len(pred | mask))


def test_dataset_iou_sums_before_it_divides() -> None:
    assert iou_dataset([1, 90], [2, 100]) == 91 / 102
    assert iou_dataset(np.array([0, 3]), np.array([0, 4])) == 0.75


def test_dataset_iou_of_empty_masks_and_of_no_images() -> None:
    assert iou_dataset([0, 0], [0, 0]) == 1
    assert iou_dataset([0], [7]) == 0
    assert math.isnan(iou_dataset([], []))


@pytest.mark.parametrize(
    ("intersections", "unions", "message"),
    [
        ([1, 2], [3], r"one count an image, got shapes \(2,\) and \(1,\)"),
        (1, 2, r"got shapes \(\) and \(\)"),
        ([0.5], [1.0], "integer counts, got float64"),
        ([3], [2], "intersection <= union"),
        ([-1], [2], "0 <= intersection"),
    ],
)
def test_dataset_iou_refuses(intersections: Any, unions: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        iou_dataset(intersections, unions)


def test_goldens_of_dice_and_of_both_classes(pairs: list[Pair]) -> None:
    for pair in pairs:
        assert miou_fgbg(pair.probs, pair.mask) == pytest.approx(pair.expected["miou_fgbg"], rel=0, abs=1e-12)
        # MONAI computes in single precision.
        assert dice(pair.probs, pair.mask) == pytest.approx(pair.expected["dice_monai_noignore"], rel=0, abs=1e-7)
        if not np.isnan(pair.expected["dice_medpy"]):
            assert dice(pair.probs, pair.mask) == pytest.approx(pair.expected["dice_medpy"], rel=0, abs=1e-12)


def test_drawn_pairs_against_scikit_learn() -> None:
    from sklearn import metrics

    for probs, mask in drawn():
        pred = probs >= 0.5
        flat = mask.ravel(), pred.ravel()
        both_empty = float(not pred.any() and not mask.any())
        *shares, f1, _ = metrics.precision_recall_fscore_support(*flat, average="binary", zero_division=both_empty)
        found = [metric(probs, mask) for metric in (precision, recall, dice)]
        assert found == pytest.approx([*shares, f1], rel=0, abs=1e-12)
        classes = metrics.jaccard_score(*flat, labels=[False, True], average=None, zero_division=1)
        assert miou_fgbg(probs, mask) == pytest.approx(np.mean(classes), rel=0, abs=1e-12)


def test_dice_precision_and_recall_of_empty_masks() -> None:
    for metric in (dice, precision, recall):
        assert metric(empty(3, 3), empty(3, 3)) == 1
        assert metric(full(3, 3), empty(3, 3)) == metric(empty(3, 3), full(3, 3)) == 0
    assert miou_fgbg(full(3, 3), full(3, 3)) == 1 and miou_fgbg(full(3, 3), empty(3, 3)) == 0
