from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from bench.contracts import Mask
from bench.metrics import boundary_iou, iou
from tests.bench.metrics.shapes import UNHURRIED, MaskPair, blobs, empty, full, mask_pairs


def frame(height: int, width: int, thickness: int) -> Mask:
    """The pixels of an image less than ``thickness`` away from its border."""
    mask = full(height, width)
    mask[thickness : height - thickness, thickness : width - thickness] = False
    return mask


def band_by_iteration(mask: Mask, d: int) -> Mask:
    """The definition, word by word: a frame of zeros, then d erosions by a 3x3 square."""
    core = np.pad(mask, 1)
    for _ in range(d):
        core = ndimage.binary_erosion(core, structure=np.ones((3, 3)), border_value=0)
    return mask & ~core[1:-1, 1:-1]


def band_by_distance(mask: Mask, d: int) -> Mask:
    """Chessboard distance to the nearest background pixel, all outside the image being background."""
    return mask & (ndimage.distance_transform_cdt(np.pad(mask, 1), metric="chessboard")[1:-1, 1:-1] <= d)


@pytest.mark.parametrize("size", [(100, 100), (64, 90)])
def test_default_band_is_15_pixels_and_the_image_border_is_a_contour(size: tuple[int, int]) -> None:
    # The whole image as object: its band is a frame of d pixels, and a frame of up to d pixels is its own band.
    # So the score is 1 at d = 15 alone, and it would be 0 if the border were no contour.
    assert boundary_iou(frame(*size, 15), full(*size)) == 1
    assert boundary_iou(frame(*size, 14), full(*size)) < 1
    assert boundary_iou(frame(*size, 16), full(*size)) < 1


@pytest.mark.parametrize("d", [1, 2, 7, 14, 15, 16])
def test_band_area_by_hand(d: int) -> None:
    # One pixel is its own band, and lies in the corner of the object's band of 60^2 - (60 - 2d)^2 pixels.
    mask, pixel = empty(80, 80), empty(80, 80)
    mask[10:70, 10:70] = True
    pixel[10, 10] = True
    assert boundary_iou(pixel, mask, d=d) == 1 / (60**2 - (60 - 2 * d) ** 2)


def test_corner_of_the_background_counts_as_near() -> None:
    # A hole of one pixel has a square rim, corners included: 3x3 - 1 pixels at d = 1, beside a frame of 9^2 - 7^2.
    mask = full(9, 9)
    mask[4, 4] = False
    assert boundary_iou(frame(9, 9, 1), mask, d=1) == 32 / (32 + 8)


@pytest.mark.parametrize(
    ("shape", "d"), [((224, 224), 6), ((256, 256), 7), ((352, 352), 10), ((512, 512), 14), ((1024, 1024), 29)]
)
def test_ratio_gives_the_published_widths(shape: tuple[int, int], d: int) -> None:
    assert boundary_iou(frame(*shape, d), full(*shape), ratio=0.02) == 1
    assert boundary_iou(frame(*shape, d + 1), full(*shape), ratio=0.02) < 1


def test_ratio_of_a_small_image_is_at_least_one_pixel() -> None:
    assert boundary_iou(frame(9, 9, 1), full(9, 9), ratio=0.02) == 1
    assert boundary_iou(frame(9, 9, 2), full(9, 9), ratio=0.02) == 32 / (32 + 24)  # rings: 9^2-7^2, then 7^2-5^2


def test_empty_bands() -> None:
    assert boundary_iou(empty(9, 9), empty(9, 9)) == 1
    assert boundary_iou(full(9, 9), empty(9, 9)) == 0
    assert boundary_iou(empty(9, 9), full(9, 9)) == 0


@UNHURRIED
@given(mask_pairs(), st.integers(1, 6), st.sampled_from([band_by_iteration, band_by_distance]))
def test_equals_the_definition(pair: MaskPair, d: int, band: Callable[[Mask, int], Mask]) -> None:
    pred, mask = (band(array, d) for array in pair)
    union = int((pred | mask).sum())
    assert boundary_iou(*pair, d=d) == (int((pred & mask).sum()) / union if union else 1)


@UNHURRIED
@given(blobs((70, 90)), blobs((70, 90)))
def test_equals_the_definition_at_the_default_width(pred: Mask, mask: Mask) -> None:
    wanted = iou(band_by_iteration(pred, 15), band_by_iteration(mask, 15))
    assert boundary_iou(pred, mask) == wanted


@UNHURRIED
@given(mask_pairs(), st.integers(1, 30))
def test_properties(pair: MaskPair, d: int) -> None:
    pred, mask = pair
    value = boundary_iou(pred, mask, d=d)
    assert 0 <= value <= 1
    assert value == boundary_iou(mask, pred, d=d)
    assert boundary_iou(mask, mask, d=d) == 1
    for turn in (np.flipud, np.fliplr, np.transpose, np.rot90):
        assert boundary_iou(turn(pred), turn(mask), d=d) == value


@UNHURRIED
@given(mask_pairs())
def test_a_band_wider_than_the_image_is_the_mask(pair: MaskPair) -> None:
    assert boundary_iou(*pair, d=12) == boundary_iou(*pair, d=10**9) == iou(*pair)


@pytest.mark.parametrize(("d", "wanted"), [(0, "at least 1 pixel"), (-3, "at least 1 pixel"), (1.5, "whole number")])
def test_refuses_a_width_that_is_no_number_of_pixels(d: Any, wanted: str) -> None:
    with pytest.raises(ValueError, match=f"{wanted}.*, got {d}"):
        boundary_iou(full(4, 4), full(4, 4), d=d)


@pytest.mark.parametrize("ratio", [0.0, -0.02, float("nan"), float("inf")])
def test_refuses_a_ratio_that_is_no_share(ratio: float) -> None:
    with pytest.raises(ValueError, match="positive share of the diagonal"):
        boundary_iou(full(4, 4), full(4, 4), ratio=ratio)


def test_refuses_both() -> None:
    with pytest.raises(ValueError, match="d or ratio, got both"):
        boundary_iou(full(4, 4), full(4, 4), d=15, ratio=0.02)
