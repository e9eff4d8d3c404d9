from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.contracts import UserError
from bench.images import read_image, read_map, read_mask, resize, resize_mask, write_map


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA"])
def test_every_kind_of_picture_becomes_rgb(tmp_path: Path, mode: str) -> None:
    grey = np.full((4, 6), 102, np.uint8)  # in the palette of mode P
    Image.fromarray(np.dstack([grey] * 3)).convert(mode).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.shape == (4, 6, 3) and image.dtype == np.uint8
    assert np.abs(image.astype(int) - 102).max() <= 2


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("grey.png", [0, 127, 128, 255], [False, False, True, True]),
        ("coded.png", [0, 1, 0, 1], [False, True, False, True]),
        ("empty.png", [0, 0, 0, 0], [False] * 4),
    ],
)
def test_masks_are_binarised_above_127_or_where_coded_one(
    tmp_path: Path, name: str, values: list[int], expected: list[bool]
) -> None:
    Image.fromarray(np.array([values], np.uint8)).save(tmp_path / name)
    assert read_mask(tmp_path / name).tolist() == [expected]


def test_noise_in_a_jpeg_mask_is_no_code_for_foreground(tmp_path: Path) -> None:
    Image.fromarray(np.full((16, 16), 1, np.uint8)).save(tmp_path / "noise.jpg", quality=100)
    assert not read_mask(tmp_path / "noise.jpg").any()


@pytest.mark.parametrize("broken", ["truncated", "no image", "absent"])
def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path, broken: str) -> None:
    file = tmp_path / "picture.jpg"
    if broken == "truncated":
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(file)
        file.write_bytes(file.read_bytes()[:-500])
    elif broken == "no image":
        file.write_text("text")
    with pytest.raises(UserError, match=r"picture\.jpg"):
        read_image(file)


def test_a_written_map_is_read_back_to_sixteen_bits(tmp_path: Path) -> None:
    probs = np.random.default_rng(0).random((5, 7), dtype=np.float32)
    write_map(tmp_path / "class" / "1.png", probs)
    np.testing.assert_allclose(read_map(tmp_path / "class" / "1.png"), probs, atol=1 / 131070 + 1e-7)


def test_resizing_keeps_areas_and_types() -> None:
    mask = np.zeros((40, 60), np.bool_)
    mask[10:30, 14:44] = True
    for height, width in ((20, 30), (80, 120)):
        small = resize_mask(mask, height, width)
        assert small.dtype == np.bool_ and small.shape == (height, width)
        assert small.mean() == pytest.approx(mask.mean(), abs=0.01)
    assert resize(np.zeros((8, 8, 3), np.uint8), 4, 5).dtype == np.uint8
