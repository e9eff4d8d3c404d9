from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.training.turns import TURNS, turned, turned_back

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 4, 5), dtype=np.uint8)
every_turn = pytest.mark.parametrize("turn", TURNS)


def test_the_eight_are_distinct() -> None:
    views = [turned(PIXELS, turn) for turn in TURNS]
    assert len({(view.shape, view.tobytes()) for view in views}) == len(TURNS) == 8


@every_turn
def test_back_is_the_inverse_on_either_side(turn: int) -> None:
    np.testing.assert_array_equal(turned_back(turned(PIXELS, turn), turn), PIXELS)
    np.testing.assert_array_equal(turned(turned_back(PIXELS, turn), turn), PIXELS)


@every_turn
def test_a_tensor_is_moved_as_an_array(turn: int) -> None:
    pixels = torch.from_numpy(PIXELS)
    np.testing.assert_array_equal(turned(pixels, turn).numpy(), turned(PIXELS, turn))
    np.testing.assert_array_equal(turned_back(pixels, turn).numpy(), turned_back(PIXELS, turn))


@every_turn
def test_the_columns_are_flipped_after_the_quarter_turns(turn: int) -> None:
    rotated = np.rot90(PIXELS, turn % 4, (1, 2))
    np.testing.assert_array_equal(turned(PIXELS, turn), rotated[..., ::-1] if turn >= 4 else rotated)


@pytest.mark.parametrize("quarters", range(4))
def test_a_flip_before_the_quarter_turns_is_one_of_the_eight(quarters: int) -> None:
    turn = 4 + -quarters % 4
    mirrored_first = np.rot90(PIXELS[..., ::-1], quarters, (1, 2))
    np.testing.assert_array_equal(turned(PIXELS, turn), mirrored_first)
    unmirrored_last = np.rot90(PIXELS, -quarters, (1, 2))[..., ::-1]
    np.testing.assert_array_equal(turned_back(PIXELS, turn), unmirrored_last)


@every_turn
def test_the_axes_are_those_of_rows_and_columns(turn: int) -> None:
    image = PIXELS.transpose(1, 2, 0)
    np.testing.assert_array_equal(turned(image, turn, (0, 1)), turned(PIXELS, turn).transpose(1, 2, 0))
    np.testing.assert_array_equal(turned_back(image, turn, (0, 1)), turned_back(PIXELS, turn).transpose(1, 2, 0))
