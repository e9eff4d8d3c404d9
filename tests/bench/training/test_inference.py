"""Views, scales and tiles give the map of the whole image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bench.contracts import UserError
from bench.training.inference import TestTime, averaged, in_batches, tiled, whole_float32


def pixels(rows: int, columns: int, seed: int = 0) -> Tensor:
    draw = np.random.default_rng(seed)
    return torch.from_numpy(draw.integers(0, 256, (1, 3, rows, columns), dtype=np.uint8))


def green(values: Tensor) -> Tensor:
    """A pixel's own green value: any view, scale or window of it agrees with the whole."""
    return values[:, 1:2].float() / 255


def position(values: Tensor) -> Tensor:
    """Depends on the place in the input, not on what is there."""
    ramp = torch.arange(values.shape[3]) / values.shape[3]
    return ramp.expand(len(values), 1, values.shape[2], -1)


@pytest.mark.parametrize("views", ["none", "flips", "turns"])
def test_views_are_brought_back_in_place(views: TestTime) -> None:
    image = pixels(8, 8)
    torch.testing.assert_close(averaged(green, views, (1.0,), 4)(image), green(image))


@pytest.mark.parametrize(("views", "count"), [("none", 1), ("flips", 4), ("turns", 8)])
def test_each_view_is_another_one(views: TestTime, count: int) -> None:
    image, seen = pixels(4, 4), set()

    def model(values: Tensor) -> Tensor:
        seen.add(values.numpy().tobytes())
        return green(values)

    averaged(model, views, (1.0,), 4)(image)
    assert len(seen) == count


def test_flips_average_a_bias_of_place_away() -> None:
    maps = averaged(position, "flips", (1.0,), 4)(pixels(8, 8))
    torch.testing.assert_close(maps, torch.full((1, 1, 8, 8), 7 / 16))


def test_scales_are_multiples_and_come_back_at_the_inputs_size() -> None:
    sides = []

    def model(values: Tensor) -> Tensor:
        sides.append(values.shape[-1])
        return torch.full((1, 1, *values.shape[2:]), float(len(sides)))

    maps = averaged(model, "none", (0.5, 1.0, 1.3), 32)(pixels(64, 64))
    assert sides == [32, 64, 96] and maps.shape == (1, 1, 64, 64)
    torch.testing.assert_close(maps, torch.full((1, 1, 64, 64), 2.0))


@given(rows=st.integers(1, 50), columns=st.integers(1, 50), tile=st.sampled_from([8, 16]), overlap=st.integers(0, 7))
def test_tiles_cover_the_image_and_blend_to_the_whole(rows: int, columns: int, tile: int, overlap: int) -> None:
    image = pixels(rows, columns)

    def model(windows: Tensor) -> Tensor:
        assert windows.shape[2:] == (tile, tile)
        return green(windows)

    torch.testing.assert_close(tiled(model, image, tile, overlap), green(image))


def test_windows_overlap_by_no_less_than_asked_and_fall_off_to_their_borders() -> None:
    windows: list[Tensor] = []

    def model(values: Tensor) -> Tensor:
        windows.append(values)
        return torch.full((1, 1, 16, 16), float(len(windows) - 1))

    maps = tiled(model, pixels(16, 28), tile=16, overlap=4)[0, 0]
    assert len(windows) == 2  # at columns 0 and 12
    row = maps[8].tolist()
    assert row[:12] == [0] * 12 and row[16:] == [1] * 12
    assert row[12:16] == pytest.approx([0.125, 0.375, 0.625, 0.875])


def test_batches_are_halved_until_they_fit() -> None:
    images = torch.cat([pixels(4, 4, seed) for seed in range(9)])
    sizes = []

    def model(values: Tensor) -> Tensor:
        sizes.append(len(values))
        if len(values) > 3:
            raise torch.OutOfMemoryError("none left")
        return green(values)

    torch.testing.assert_close(in_batches(model, images, 8), green(images))
    assert sizes == [8, 4, 2, 2, 2, 2, 1]


def test_an_input_too_large_for_the_memory_is_named() -> None:
    def model(values: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("none left")

    with pytest.raises(UserError, match=r"no memory for an input of 4x6 pixels .*tile=512"):
        in_batches(model, pixels(4, 6))


def test_another_error_is_not_taken_for_a_lack_of_memory() -> None:
    def model(values: Tensor) -> Tensor:
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape mismatch"):
        in_batches(model, pixels(4, 4))


def test_whole_float32_leaves_cudnn_on() -> None:
    # torch's own `flags` turns cuDNN off unless told otherwise.
    before = torch.backends.cudnn.enabled, torch.backends.cudnn.allow_tf32
    with whole_float32():
        assert torch.backends.cudnn.enabled and torch.backends.cudnn.deterministic
        assert not torch.backends.cudnn.allow_tf32
    assert (torch.backends.cudnn.enabled, torch.backends.cudnn.allow_tf32) == before
