"""What the gate sees: hand arithmetic, and finite numbers whatever comes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.refiners.gated.features import NAMES, features
from bench.refiners.looks import expected_iou, overlap


def named(image: np.ndarray, base: np.ndarray, refined: np.ndarray) -> dict[str, float]:
    return dict(zip(NAMES, features(image, base, refined).tolist(), strict=True))


def test_the_numbers_of_a_small_image_against_hand_arithmetic() -> None:
    image = np.zeros((8, 8, 3), np.uint8)
    image[2:6, 2:6] = 255
    base, refined = np.full((8, 8), 0.25, np.float32), np.full((8, 8), 0.0, np.float32)
    base[2:6, 2:4] = 0.75  # the left half of the square
    refined[2:6, 2:6] = 1.0
    found = named(image, base, refined)
    assert found["agreement"] == 0.5
    assert found["added"] == pytest.approx(np.log1p(1.0)) and found["removed"] == 0
    # Under the refined map the truth is the square: its mask has all of it, the base's half.
    assert found["gain if refined"] == pytest.approx(1 - 0.5)
    # Under the base's, 8 pixels have 0.75 and 56 have 0.25.
    refined_then = (8 * 0.75 + 8 * 0.25) / (16 + 48 * 0.25)
    assert found["gain if base"] == pytest.approx(refined_then - 8 * 0.75 / (8 + 56 * 0.25))
    assert found["distance"] == pytest.approx((8 * 0.25 + 8 * 0.75 + 48 * 0.25) / 64)
    assert found["base mean"] == pytest.approx((8 * 0.75 + 56 * 0.25) / 64)
    assert found["refined area"] == 0.25 and found["base area"] == 0.125
    assert found["base doubt"] == pytest.approx(0.5) and found["refined doubt"] == 0
    assert found["refined own IoU"] == 1 and found["refined largest"] == 1
    assert found["refined components"] == pytest.approx(np.log(2))
    assert found["refined roundness"] == pytest.approx(4 * np.pi * 16 / 12**2)
    assert found["refined at the border"] == 0
    assert found["refined contrast"] == pytest.approx(1.0) and found["base contrast"] == pytest.approx(1 - 8 / 56)
    assert found["brightness"] == pytest.approx(0.25)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1), st.sampled_from(["random", "zeros", "ones"]))
@settings(max_examples=60, deadline=None)
def test_they_are_finite_and_leave_their_inputs_alone(rows: int, columns: int, seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    base, refined = rng.random((2, rows, columns), dtype=np.float32).round(int(rng.integers(0, 3)))
    if kind != "random":
        refined = np.full_like(base, kind == "ones")
    kept = [array.copy() for array in (image, base, refined)]
    found = features(image, base, refined)
    assert found.shape == (len(NAMES),) and found.dtype == np.float64 and np.isfinite(found).all()
    for array, before in zip((image, base, refined), kept, strict=True):
        np.testing.assert_array_equal(array, before)


def test_size_matters_little() -> None:
    rng = np.random.default_rng(0)
    small = np.kron(rng.random((8, 8)), np.ones((32, 32))).astype(np.float32)
    image = np.kron(rng.integers(0, 256, (8, 8)), np.ones((32, 32)))[..., None].repeat(3, axis=2).astype(np.uint8)
    double = [np.kron(array, np.ones((2, 2))).astype(np.float32) for array in (small, 1 - small)]
    large = np.kron(image, np.ones((2, 2, 1))).astype(np.uint8)
    np.testing.assert_allclose(features(image, small, 1 - small), features(large, *double), atol=1e-6)


def test_ious_of_nothing_with_nothing_are_one() -> None:
    nothing = np.zeros((3, 3), np.bool_)
    assert overlap(nothing, nothing) == 1 and overlap(nothing, ~nothing) == 0
    assert expected_iou(nothing, np.zeros((3, 3), np.float32)) == 1
    assert expected_iou(nothing, np.full((3, 3), 0.5, np.float32)) == 0
