from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bench.refiners.cascadepsp.perturb import perturbed

MASKS = arrays.arrays(np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, max_side=24))


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@settings(max_examples=60, deadline=None)
@given(MASKS, st.floats(0.8, 1.0), st.integers(0, 1000))
def test_the_iou_falls_under_the_target(mask: np.ndarray, target: float, seed: int) -> None:
    kept = mask.copy()
    mask.flags.writeable = False
    found = perturbed(mask, target, np.random.default_rng(seed))
    assert found.dtype == np.bool_ and found.shape == mask.shape
    assert iou(found, mask) < target
    np.testing.assert_array_equal(mask, kept)
    np.testing.assert_array_equal(found, perturbed(mask, target, np.random.default_rng(seed)))


@pytest.mark.parametrize("value", [False, True], ids=["empty", "full"])
def test_a_large_mask_without_a_contour_inside_is_changed_too(value: bool) -> None:
    mask = np.full((224, 224), value)
    assert iou(perturbed(mask, 0.8, np.random.default_rng(0)), mask) < 0.8


def test_what_is_wrong_lies_near_the_object() -> None:
    mask = np.zeros((128, 128), np.uint8)
    cv2.circle(mask, (60, 70), 40, 1, -1)
    cv2.circle(mask, (60, 70), 12, 0, -1)
    found = [perturbed(mask > 0, 0.9, np.random.default_rng(seed)) for seed in range(20)]
    ious = [iou(one, mask > 0) for one in found]
    # Far below the target a network would learn to draw, not to correct.
    assert 0.6 < np.mean(ious) < 0.9
    assert len({one.tobytes() for one in found}) == 20
    # The hole is still one, though the mask was drawn anew from its contours.
    assert np.mean([one[70, 60] for one in found]) < 0.3
