"""JPEGs that are decoded without Pillow's detours: what it makes of them, and refused where it refuses."""

from __future__ import annotations

import io
import random
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from bench.contracts import UserError
from bench.images import read_grey, read_image, stored_size
from bench.images.decode import decode
from bench.images.jpeg import jpeg_frame
from tests.fuzz.damage import damaged

SAMPLINGS = (411, 420, 422, 440, 444)


def drawn(rng: random.Random, *, grey: bool = False) -> np.ndarray:
    """uint8 ``(H, W, 3)`` or ``(H, W)``: noise, or what is smoother."""
    shape = (rng.randrange(1, 60), rng.randrange(1, 60), 3)
    values = np.random.default_rng(rng.randrange(2**32)).integers(0, 256, shape, np.uint8)
    if rng.random() < 0.7:
        values = cv2.GaussianBlur(values, (0, 0), 2).reshape(shape)
    return values[..., 0] if grey else values


def jpeg(rng: random.Random) -> bytes:
    values = drawn(rng, grey=rng.random() < 0.2)
    if rng.random() < 0.5:
        options = {
            cv2.IMWRITE_JPEG_QUALITY: rng.choice((20, 75, 95, 100)),
            cv2.IMWRITE_JPEG_PROGRESSIVE: int(rng.random() < 0.2),
            cv2.IMWRITE_JPEG_RST_INTERVAL: rng.choice((0, 0, 2)),
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR: getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{rng.choice(SAMPLINGS)}"),
        }
        return cv2.imencode(".jpg", values, [number for pair in options.items() for number in pair])[1].tobytes()
    stream, exif = io.BytesIO(), PillowImage.Exif()
    exif[0x0112] = rng.randrange(1, 9)
    quality = rng.choice((30, 75, 90))
    PillowImage.fromarray(values).save(stream, "JPEG", quality=quality, progressive=rng.random() < 0.2, exif=exif)
    return stream.getvalue()


def verdict(path: Path) -> tuple[object, ...]:
    """What a file is read as, or the line that refuses it."""
    try:
        raster = decode(path)
    except UserError as error:
        return (str(error),)
    values = raster.values
    return values.tobytes(), values.shape, values.dtype, raster.what, raster.lossy, raster.orientation


def hurt(data: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.3:
        return data
    if rng.random() < 0.2:
        return data[: rng.randrange(len(data))] + b"\xff\xd9"
    return damaged(data, rng)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=300, deadline=None)
def test_all_is_as_if_pillow_had_decoded_it(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    rng, path = random.Random(seed), tmp_path_factory.mktemp("picture") / "a.jpg"
    path.write_bytes(hurt(jpeg(rng), rng))
    found = verdict(path)
    with patch("bench.images.decode.jpeg_frame", lambda _: None):
        assert found == verdict(path)


def test_whole_files_are_not_left_to_pillow() -> None:
    stream = io.BytesIO()
    PillowImage.new("L", (5, 4), 9).save(stream, "jpeg")
    data = stream.getvalue()
    assert jpeg_frame(data) == ((4, 5), 1, True) and jpeg_frame(data[:-2]) is None


@pytest.mark.parametrize("cut", [2, 3, 40, 400])
def test_a_jpeg_that_is_cut_is_refused(cut: int, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
    path = tmp_path / "cut.jpg"
    PillowImage.fromarray(noise).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    for read in (read_image, read_grey):
        with pytest.raises(UserError, match=r"unreadable, .*truncated"):
            read(path)
    path.write_bytes(whole[: -cut - 40] + b"\xff\x38" + whole[-cut:])  # and where its end is another's
    with pytest.raises(UserError, match="unreadable"):
        read_image(path)


def test_the_luma_of_a_jpeg_without_colours_is_its_grey(tmp_path: Path) -> None:
    soft = cv2.GaussianBlur(drawn(random.Random(5), grey=True), (0, 0), 3)
    path = tmp_path / "mask.jpg"
    PillowImage.fromarray(np.dstack([soft] * 3)).save(path, quality=80)
    with PillowImage.open(path) as picture:
        assert picture.mode == "RGB"
        expected = np.array(picture.convert("L"))
    np.testing.assert_array_equal(read_grey(path), expected)
    np.testing.assert_array_equal(decode(path).luminance, expected)


def test_the_size_of_a_png_is_told_by_its_first_chunk(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    PillowImage.new("RGB", (7, 3)).save(path)
    assert stored_size(path) == (3, 7)
    data = bytearray(path.read_bytes())
    data[19] = 9  # a width that its check sum does not know
    path.write_bytes(data)
    with pytest.raises(UserError, match="no picture of a type that is read"):
        stored_size(path)
