from __future__ import annotations

import pickle
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contracts import UserError
from bench.refiners.guided_filter import GuidedFilter


def by_windows(guide: np.ndarray, target: np.ndarray, radius: int, eps: float) -> np.ndarray:
    """The definition read literally: a ridge regression in each window, then the mean of all that overlap."""
    height, width = target.shape
    sums, counts = np.zeros((height, width)), np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            window = slice(max(0, y - radius), y + radius + 1), slice(max(0, x - radius), x + radius + 1)
            colours, values = guide[window].reshape(-1, 3), target[window].ravel()
            centred = colours - colours.mean(axis=0)
            ridge = centred.T @ centred / len(values) + eps * np.eye(3)
            slope = np.linalg.solve(ridge, centred.T @ (values - values.mean()) / len(values))
            sums[window] += (guide[window] - colours.mean(axis=0)) @ slope + values.mean()
            counts[window] += 1
    return sums / counts


@pytest.mark.parametrize(("radius", "eps"), [(1, 1e-2), (3, 1e-6), (40, 1e-4)])
def test_it_equals_a_regression_in_each_window(radius: int, eps: float) -> None:
    draw = np.random.default_rng(0)
    image = draw.integers(0, 256, (9, 14, 3), dtype=np.uint8)
    image[:, 7:] = 250  # without any variance
    image[:, :3] = image[:, :3, :1]  # grey: a covariance of rank one
    probs = draw.random((9, 14), np.float32)
    (refined,) = GuidedFilter(radius=radius, eps=eps).refine([image], [probs])
    expected = by_windows(image / 255.0, probs.astype(np.float64), radius, eps)
    np.testing.assert_allclose(refined, expected.clip(0, 1), atol=1e-5)


def test_inside_the_border_it_equals_opencv_where_float32_is_enough() -> None:
    draw = np.random.default_rng(1)
    image = draw.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    probs = draw.random((40, 50), np.float32)
    theirs = cv2.ximgproc.guidedFilter((image / 255).astype(np.float32), probs, 4, 1e-2)
    (ours,) = GuidedFilter(radius=4, eps=1e-2).refine([image], [probs])
    np.testing.assert_allclose(ours[8:-8, 8:-8], theirs[8:-8, 8:-8].clip(0, 1), atol=1e-5)


def test_a_contour_that_is_a_little_off_snaps_to_the_edge() -> None:
    image = np.full((40, 60, 3), 40, np.uint8)
    image[:, 30:] = 200
    probs = np.zeros((40, 60), np.float32)
    probs[:, 27:] = 1
    for array in (image, probs):
        array.setflags(write=False)
    (refined,) = GuidedFilter(radius=12, eps=1e-4).refine([image], [probs])
    np.testing.assert_array_equal(refined >= 0.5, np.broadcast_to(np.arange(60) >= 30, (40, 60)))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([0.0, 0.3, 1.0]), st.booleans())
def test_a_constant_map_stays_on_images_of_any_size(height: int, width: int, value: float, plain: bool) -> None:
    image = np.random.default_rng(height).integers(0, 1 if plain else 256, (height, width, 3), dtype=np.uint8)
    refiner = pickle.loads(pickle.dumps(GuidedFilter()))
    (refined,) = refiner.refine([image], [np.full((height, width), value, np.float32)])
    assert refined.dtype == np.float32
    np.testing.assert_allclose(refined, value, atol=1e-6)


@pytest.mark.parametrize("wrong", [{"radius": 0}, {"eps": 0.0}, {"eps": float("nan")}])
def test_parameters_without_meaning_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        GuidedFilter(**wrong)
