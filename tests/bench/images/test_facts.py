from __future__ import annotations

import math

import numpy as np
import pytest

from bench.images.facts import facts

GREY = np.full((40, 60, 3), 128, np.uint8)


def test_a_square_and_a_line_by_hand() -> None:
    mask = np.zeros((40, 60), dtype=bool)
    mask[10:20, 10:20] = True
    mask[30, 10:50] = True
    image = GREY.copy()
    image[mask] = 255
    found = facts(image, mask)
    assert found["pixels"] == 2400 and found["size"] == pytest.approx(140 / 2400)
    assert found["components"] == 2
    assert found["width"] == pytest.approx(140 / (36 + 40))  # the square's rim, and all of the line
    assert found["contrast"] == pytest.approx(100 - 53.585, abs=0.01)  # L* of white and of grey 128


def test_void_pixels_are_no_surroundings_and_the_image_s_edge_no_boundary() -> None:
    mask = np.zeros((40, 60), dtype=bool)
    mask[:, :20] = True
    image = GREY.copy()
    image[:, 20:30] = 255
    ignore = np.zeros_like(mask)
    ignore[:, 20:30] = True
    found = facts(image, mask, ignore)
    assert found["size"] == pytest.approx(20 / 50) and found["width"] == 20.0
    assert found["contrast"] == pytest.approx(0.0, abs=1e-3)


def test_what_is_undefined_is_nan() -> None:
    empty = facts(GREY, np.zeros((40, 60), dtype=bool))
    assert (empty["size"], empty["components"]) == (0.0, 0.0)
    assert math.isnan(empty["width"]) and math.isnan(empty["contrast"])
    full = facts(GREY, np.ones((40, 60), dtype=bool))
    assert full["size"] == 1.0 and math.isnan(full["width"]) and math.isnan(full["contrast"])
    mask = np.zeros((40, 60), dtype=bool)
    mask[np.ix_(range(0, 40, 2), range(0, 60, 2))] = True
    assert facts(GREY, mask)["components"] == 20 * 30
    mask = np.eye(40, 60, dtype=bool)  # touching by corners is one
    assert facts(GREY, mask)["components"] == 1
