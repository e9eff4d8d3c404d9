from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.refiners.samrefiner.prompts import deepest, elastic_box, gaussian_weight, prompts_for, regions, tight_box


def rectangle(shape: tuple[int, int], x1: int, y1: int, x2: int, y2: int) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[y1 : y2 + 1, x1 : x2 + 1] = True
    return mask


def depths(mask: np.ndarray) -> np.ndarray:
    """Distance of each pixel to the nearest background pixel, all pairs."""
    background = np.argwhere(~mask)
    depth = np.zeros(mask.shape)
    for row, column in np.argwhere(mask):
        depth[row, column] = np.hypot(*(background - (row, column)).T).min()
    return depth


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(2, 12), st.integers(1, 4))
def test_points_are_farthest_from_the_background_and_from_each_other(
    seed: int, height: int, width: int, count: int
) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < 0.8
    mask[0, 0] = False
    depth = depths(mask)
    expected: list[tuple[int, int]] = []
    while depth.max() > 0 and len(expected) < count:
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        expected.append((int(column), int(row)))
        for r, c in np.argwhere(mask):
            depth[r, c] = min(depth[r, c], np.hypot(r - row, c - column))
    np.testing.assert_array_equal(deepest(mask, count), np.array(expected, float).reshape(-1, 2))


@settings(deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 16))
def test_the_weight_falls_from_the_deepest_pixel(seed: int, gamma: float) -> None:
    region = np.random.default_rng(seed).random((9, 11)) < 0.8
    region[4, 4] = True
    depth = depths(np.pad(region, 1))[1:-1, 1:-1]
    expected = np.exp(-gamma * (depth.max() - depth) ** 2 / region.sum())
    weight = gaussian_weight(region, gamma)
    np.testing.assert_allclose(weight, expected, rtol=1e-5)
    assert weight.dtype == np.float32 and weight.max() == 1


def test_a_regions_prompts_by_hand() -> None:
    region = rectangle((40, 60), 10, 5, 20, 11)  # 11 columns, 7 rows
    region[5:9, 10:13] = False  # a bay in the corner of the box
    found = prompts_for(region, points=2, negatives=1, gamma=4.0, margin=0.0)
    # Four pixels from background, first by column: x = 16 (bay at 12) .. 17 (end at 20) on the middle row, y = 8.
    np.testing.assert_array_equal(found.points, [[16, 8], [18, 7], [10, 5]])
    np.testing.assert_array_equal(found.labels, [1, 1, 0])
    np.testing.assert_array_equal(found.box, [10, 5, 20, 11])
    np.testing.assert_array_equal(found.sign > 0, region)
    assert set(np.unique(found.sign)) == {-1.0, 1.0} and not found.elastic
    assert found.weight[8, 16] == 1 and found.weight[0, 0] == found.weight.min()


def test_a_full_box_has_no_negative_point_and_a_full_image_a_positive_one() -> None:
    found = prompts_for(np.ones((5, 9), bool), points=1, negatives=3, gamma=4.0, margin=0.0)
    np.testing.assert_array_equal(found.points, [[2, 2]])
    np.testing.assert_array_equal(found.labels, [1])
    np.testing.assert_array_equal(found.box, [0, 0, 8, 4])


def test_the_box_moves_over_what_looks_alike() -> None:
    region = rectangle((100, 100), 30, 40, 70, 90)  # strips: 4 pixels left and right, 5 above and below
    similar = region.copy()
    similar[40:91, 26:30] = True  # all of the left strip
    similar[40:60, 71:75] = True  # 20 of the right strip's 51 rows
    similar[36, 30:71] = True  # one of the upper strip's 5 rows
    box = tight_box(region)
    assert box == (30, 40, 70, 90)
    assert elastic_box(box, similar, 0.1) == (26, 35, 74, 90)
    assert elastic_box(box, similar, 0.25) == (26, 40, 74, 90)
    assert elastic_box(box, similar, 0.5) == (26, 40, 70, 90)
    assert prompts_for(region, points=1, negatives=0, gamma=4.0, margin=0.5, similar=similar).elastic
    everywhere = np.ones((100, 100), bool)
    assert elastic_box((2, 0, 99, 98), everywhere, 0.5) == (0, 0, 99, 99)  # 10 pixels at most, inside the image
    assert elastic_box((30, 30, 38, 38), everywhere, 0.5) == (30, 30, 38, 38)  # a tenth of 8 is no pixel


def test_a_mask_is_split_and_parts_of_one_object_are_merged() -> None:
    shape = (60, 120)
    one, other = rectangle(shape, 0, 0, 29, 19), rectangle(shape, 0, 22, 29, 31)  # two pixels apart: one object
    far, speck = rectangle(shape, 90, 40, 109, 49), rectangle(shape, 60, 2, 61, 3)
    found = regions(one | other | far | speck, 10)
    assert len(found) == 2  # the speck of 4 pixels is left out
    np.testing.assert_array_equal(found[0], one | other)
    np.testing.assert_array_equal(found[1], far)
    (largest,) = regions(one | other | far, 1)
    np.testing.assert_array_equal(largest, one)
    assert regions(np.zeros(shape, bool), 10) == regions(speck, 10) == []


@pytest.mark.parametrize(("gap", "count"), [(10, 1), (40, 2)])
def test_distance_decides_on_merging(gap: int, count: int) -> None:
    """Two squares of 20: the box around both has 20 x (40 + gap) pixels, of which they fill 800."""
    shape = (20, 100)
    both = rectangle(shape, 0, 0, 19, 19) | rectangle(shape, 20 + gap, 0, 39 + gap, 19)
    assert len(regions(both, 10)) == count
