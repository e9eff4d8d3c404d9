from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given

from bench.contracts import Mask
from bench.metrics import boundary_accuracy
from tests.bench.metrics.shapes import UNHURRIED, MaskPair, empty, full, mask_pairs


def left_half(height: int, width: int, shift: int = 0) -> Mask:
    mask = empty(height, width)
    mask[:, : width // 2 + shift] = True
    return mask


def touches_the_other_class(mask: Mask) -> Mask:
    """Pixels with an up, down, left or right neighbour of the other class: the region of radius 1."""
    found = np.zeros_like(mask)
    rows, columns = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
    found[1:] |= rows
    found[:-1] |= rows
    found[:, 1:] |= columns
    found[:, :-1] |= columns
    return found


@pytest.mark.parametrize(
    ("side", "radii"),
    [(224, [1, 1, 1, 1, 1]), (352, [1, 1, 1, 1, 2]), (512, [1, 1, 1, 2, 2]), (1024, [1, 2, 3, 4, 5])],
)
def test_radii_by_hand(side: int, radii: list[int]) -> None:
    # A straight contour moved by one pixel: of the 2r columns within r of it, one is wrong.
    value = boundary_accuracy(left_half(side, side, shift=1), left_half(side, side))
    assert value == pytest.approx(sum(1 - 1 / (2 * r) for r in radii) / 5, rel=0, abs=1e-12)


def test_no_contour_is_undefined() -> None:
    for pred in (empty(8, 8), full(8, 8), left_half(8, 8)):
        assert math.isnan(boundary_accuracy(pred, empty(8, 8)))
        assert math.isnan(boundary_accuracy(pred, full(8, 8)))


def test_an_empty_prediction_is_right_outside_the_object() -> None:
    assert boundary_accuracy(empty(8, 8), left_half(8, 8)) == 0.5


def test_the_image_border_is_no_contour() -> None:
    # Only the two middle columns count, so that errors along the border cost nothing.
    pred = left_half(8, 8)
    pred[:, 0] = False
    assert boundary_accuracy(pred, left_half(8, 8)) == 1


@UNHURRIED
@given(mask_pairs())
def test_small_images_by_neighbours(pair: MaskPair) -> None:
    pred, mask = pair
    region = touches_the_other_class(mask)
    assume(region.any())
    wanted = (pred == mask)[region].mean()
    assert boundary_accuracy(pred, mask) == pytest.approx(wanted, rel=0, abs=1e-12)


@UNHURRIED
@given(mask_pairs())
def test_properties(pair: MaskPair) -> None:
    pred, mask = pair
    assume(mask.any() and not mask.all())
    value = boundary_accuracy(pred, mask)
    assert 0 <= value <= 1
    assert boundary_accuracy(mask, mask) == 1
    assert boundary_accuracy(~mask, mask) == 0
    assert boundary_accuracy(~pred, ~mask) == value
    for turn in (np.flipud, np.fliplr, np.transpose, np.rot90):
        assert boundary_accuracy(turn(pred), turn(mask)) == value
