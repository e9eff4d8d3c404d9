from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from bench.contracts import UserError
from bench.refiners.morphology import Morphology

CROSS = ndimage.generate_binary_structure(2, 1)  # the disk of radius 1
SQUARE = ndimage.generate_binary_structure(2, 2)

masks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))


def cleaned(mask: np.ndarray, **parameters: Any) -> np.ndarray:
    nothing: dict[str, Any] = {"open": 0, "close": 0, "min_area": 0.0, "fill_holes": False}
    image = np.zeros((*mask.shape, 3), np.uint8)
    (refined,) = Morphology(**nothing | parameters).refine([image], [mask.astype(np.float32)])
    return refined >= 0.5


@settings(deadline=None)
@given(masks)
def test_opening_and_closing_are_scipys(mask: np.ndarray) -> None:
    # What lies outside the image takes no side: it neither erodes nor dilates.
    opened = ndimage.binary_dilation(ndimage.binary_erosion(mask, CROSS, border_value=1), CROSS)
    closed = ndimage.binary_erosion(ndimage.binary_dilation(mask, CROSS), CROSS, border_value=1)
    np.testing.assert_array_equal(cleaned(mask, open=1), opened)
    np.testing.assert_array_equal(cleaned(mask, close=1), closed)


@settings(deadline=None)
@given(masks, st.floats(0, 0.3))
def test_holes_and_small_parts_are_scipys(mask: np.ndarray, min_area: float) -> None:
    np.testing.assert_array_equal(cleaned(mask, fill_holes=True), ndimage.binary_fill_holes(mask))
    parts, count = ndimage.label(mask, SQUARE)
    large = [n for n in range(1, count + 1) if (parts == n).sum() >= min_area * mask.size]
    np.testing.assert_array_equal(cleaned(mask, min_area=min_area), np.isin(parts, large))


def test_a_disk_is_round_and_wide_enough() -> None:
    mask = np.zeros((40, 60), np.bool_)
    mask[5:35, 5:35] = True  # loses its corners only
    mask[18:22, 35:60] = True  # a bar 4 pixels wide goes
    opened = cleaned(mask, open=3)
    assert opened[5:35, 5:35].mean() > 0.98 and not opened[5, 5] and not opened[:, 36:].any()


@settings(deadline=None)
@given(hnp.arrays(np.float32, (9, 11), elements=st.sampled_from([0.0, 0.2, 0.4999, 0.5, 0.51, 0.9, 1.0])))
def test_a_pixel_that_changes_side_gets_the_mirrored_probability(probs: np.ndarray) -> None:
    probs.setflags(write=False)
    refiner = pickle.loads(pickle.dumps(Morphology(open=1, close=1, min_area=0.05)))
    (refined,) = refiner.refine([np.zeros((9, 11, 3), np.uint8)], [probs])
    assert refined.dtype == np.float32 and refined.min() >= 0 and refined.max() <= 1
    target = cleaned(probs >= 0.5, open=1, close=1, min_area=0.05, fill_holes=True)
    np.testing.assert_array_equal(refined >= 0.5, target)
    changed = target != (probs >= 0.5)
    np.testing.assert_array_equal(refined[~changed], probs[~changed])
    np.testing.assert_allclose(refined[changed], 1 - probs[changed], atol=1e-6)


def test_the_steps_follow_one_another() -> None:
    mask = np.zeros((40, 40), np.bool_)
    mask[5:30, 5:30] = True
    expected = mask.copy()
    mask[10:18, 10:18] = False  # a hole
    mask[35:37, 35:37] = True  # a speck
    image = np.zeros((40, 40, 3), np.uint8)
    (refined,) = Morphology(open=0).refine([image], [mask.astype(np.float32)])
    assert (refined[35:37, 35:37] == 1).all()  # 4 of 1600 pixels are more than a thousandth
    (refined,) = Morphology(open=0, min_area=0.01).refine([image], [mask.astype(np.float32)])
    np.testing.assert_array_equal(refined, expected)


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (31, 17)])
def test_a_constant_map_stays(shape: tuple[int, int], value: float) -> None:
    probs = np.full(shape, value, np.float32)
    (refined,) = Morphology().refine([np.zeros((*shape, 3), np.uint8)], [probs])
    np.testing.assert_array_equal(refined, probs)


@pytest.mark.parametrize(("name", "value"), [("open", -1), ("close", -1), ("min_area", 1.5)])
def test_parameters_without_meaning_are_named(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=name):
        Morphology(**{name: value})
