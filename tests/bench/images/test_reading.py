"""What is read is read rightly or refused: file types by coding, folders as a whole, orientation, void pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage
from PIL import ImageOps

from bench.contracts import UserError
from bench.images import MapFiles, MaskFiles, read_image, read_map, read_mask
from tests.bench.images.matrix import DISC, PROBS, SIDE, Kind, kinds, table, verdicts
from tests.conftest import REPOSITORY

KINDS = list(kinds())


@pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])
def test_every_file_type_and_coding_is_right_or_refused(kind: Kind, tmp_path: Path) -> None:
    found = verdicts(kind, tmp_path)
    assert found and "WRONG" not in found.values()


def test_the_page_has_the_matrix() -> None:
    assert table() in (REPOSITORY / "docs" / "formats.md").read_text(encoding="utf-8"), (
        "run python -m tests.bench.images.matrix"
    )


@given(
    codes=st.lists(st.integers(0, 255), min_size=1, max_size=6, unique=True),
    dtype=st.sampled_from(["uint8", "uint16", "int16", "int32", "int64", "uint32", "float32", "float64"]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=500, deadline=None)
def test_random_codes_are_read_by_one_scale_or_refused(
    tmp_path_factory: pytest.TempPathFactory, codes: list[int], dtype: str, seed: int
) -> None:
    path = tmp_path_factory.mktemp("map") / "a.npy"
    values = np.random.default_rng(seed).choice(codes, (8, 9)).astype(dtype)
    np.save(path, values)
    try:
        probs = read_map(path)
    except UserError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        high = float(values.max())
        scale = 1 if high <= 1 else 255  # no other is within 0..255
        assert high <= 1 or np.dtype(dtype).kind != "f"
        np.testing.assert_allclose(probs, values / scale, atol=1e-6)
    try:
        mask = read_mask(path)
    except UserError:
        assert len(np.unique(values[values > 0])) > 1
    else:
        above = np.unique(values[values > 0])
        expected = values > 0 if len(above) < 2 else values >= (128 if above[-1] > 1 else 0.5)
        np.testing.assert_array_equal(mask, expected)


def save(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(exist_ok=True)
    PillowImage.fromarray(values).save(path)
    return path


def test_a_map_without_a_bright_pixel_is_read_as_its_folder_is(tmp_path: Path) -> None:
    bright = save(tmp_path / "maps" / "a.png", np.rint(PROBS * 255).astype(np.uint8))
    dim = save(tmp_path / "maps" / "b.png", DISC.astype(np.uint8))
    maps = MapFiles([bright, dim])
    assert maps.read(bright).max() == 1 and maps.read(dim).max() == pytest.approx(1 / 255)
    ones = MapFiles([dim])
    assert ones.read(dim).max() == 1
    with pytest.raises(UserError, match=r"values 0\.\.255, where 1 stands for 1 .*write all maps of a folder alike"):
        ones.read(bright)
    assert MapFiles([dim], scale=255).read(dim).max() == pytest.approx(1 / 255)


def test_a_scale_that_is_told_is_taken(tmp_path: Path) -> None:
    percent = save(tmp_path / "p.png", (DISC * 100).astype(np.uint8))
    with pytest.raises(UserError, match=r"0, 100: it is unclear which stands for 1 .*--map-scale N"):
        read_map(percent)
    np.testing.assert_array_equal(MapFiles([percent], scale=100).read(percent), DISC.astype(np.float32))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.array([[-3.5, 9.25]], np.float32), r"values -3\.5\.\.9\.25 .*apply the sigmoid"),
        (np.array([[0, 255]], np.float32), r"values 0\.\.255 .*divide by 255"),
        (np.array([[0.5, 1.01]], np.float64), r"values 0\.5\.\.1\.01 "),
        (np.array([[0, np.nan]], np.float32), "1 NaN or infinite"),
        (np.array([[-1, 1]], np.int8), "negative values, -1 .*sigmoid"),
    ],
)
def test_what_is_no_probability_is_refused_with_its_range(values: np.ndarray, says: str, tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", values)
    with pytest.raises(UserError, match=says):
        read_map(tmp_path / "m.npy")


def test_rounding_beyond_one_is_clipped(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.array([[1.0000001, -1e-7]], np.float32))
    np.testing.assert_array_equal(read_map(tmp_path / "m.npy"), [[1, 0]])


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("square", [False, True])
def test_an_exif_orientation_is_honoured_where_the_size_tells(orientation: int, square: bool, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    draw = np.random.default_rng(orientation)
    stored = draw.integers(0, 256, (20, 20 if square else 30, 3), np.uint8)
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    PillowImage.fromarray(stored).save(path, exif=exif)
    with PillowImage.open(path) as picture:
        upright = np.array(ImageOps.exif_transpose(picture))
    np.testing.assert_array_equal(read_image(path), upright)  # with nothing beside it
    if square or orientation < 5:
        with pytest.raises(UserError, match=f"EXIF orientation {orientation}, .*upright or as it is stored"):
            read_image(path, like=stored.shape[:2])
    else:
        np.testing.assert_array_equal(read_image(path, like=upright.shape[:2]), upright)
        np.testing.assert_array_equal(read_image(path, like=stored.shape[:2]), stored)
    with pytest.raises(UserError, match=f"EXIF orientation {orientation}"):
        read_image(path, like=(3, 4))


def test_a_picture_of_many_pixels_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.images.decode.MOST_PIXELS", 800)
    path = save(tmp_path / "large.png", np.zeros((30, 30), np.uint8))
    with pytest.raises(UserError, match=r"more than 800 pixels .*tiles"):
        read_image(path)


def test_masks_of_several_classes_are_read_by_those_that_are_told(tmp_path: Path) -> None:
    values = np.zeros((SIDE, SIDE), np.uint8)
    values[5:20, 5:20], values[25:40, 5:20], values[20:25] = 1, 2, 255
    path = save(tmp_path / "a.png", values)
    with pytest.raises(UserError, match=r"several classes, 8-bit values \[0, 1, 2, 255\] .*--classes"):
        read_mask(path)
    mask, ignore = MaskFiles([path], classes=(1, 2), ignore=(255,)).read(path)
    np.testing.assert_array_equal(mask, (values == 1) | (values == 2))
    assert ignore is not None
    np.testing.assert_array_equal(ignore, values == 255)
    picture = PillowImage.fromarray(values, mode="P")
    picture.putpalette(bytes(range(256)) * 3)
    picture.save(tmp_path / "b.png")
    palette = tmp_path / "b.png"
    np.testing.assert_array_equal(MaskFiles([palette], classes=(2,)).read(palette).mask, values == 2)


def test_a_mask_that_is_not_as_the_others_are_is_named(tmp_path: Path) -> None:
    files = [save(tmp_path / f"{n}.png", (DISC * 255).astype(np.uint8)) for n in range(3)]
    odd = save(tmp_path / "odd.png", DISC.astype(np.uint8))
    masks = MaskFiles(files)
    assert masks.said() == "8-bit, values 0 and 255"
    with pytest.raises(UserError, match=r"values 0 and 1, where others are of 8-bit, values 0 and 255 .*odd\.png"):
        masks.read(odd)
    empty = save(tmp_path / "empty.png", np.zeros((4, 4), np.uint8))
    assert not masks.read(empty).mask.any()
