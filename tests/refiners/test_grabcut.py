from __future__ import annotations

import pickle
from typing import Any

import cv2
import numpy as np
import pytest

from bench.contracts import UserError
from bench.refiners.grabcut import GrabCut


@pytest.fixture
def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An image with a bright square, its mask, and a soft map of it that is shifted by 6 pixels."""
    draw = np.random.default_rng(0)
    mask = np.zeros((60, 80), np.bool_)
    mask[15:45, 20:60] = True
    image = np.clip(np.where(mask, 190, 70)[..., None] + draw.normal(0, 12, (60, 80, 3)), 0, 255).astype(np.uint8)
    shifted = np.roll(mask, 6, axis=1).astype(np.float32)
    probs = cv2.GaussianBlur(shifted, (0, 0), 6)
    for array in (image, probs):
        array.setflags(write=False)
    return image, mask, probs


def test_it_finds_the_object_that_the_map_is_a_little_off(scene: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    image, mask, probs = scene
    (refined,) = GrabCut().refine([image], [probs])
    assert refined.dtype == np.float32 and set(np.unique(refined)) == {0, 1}
    assert ((refined >= 0.5) != mask).mean() < 0.01 < 0.05 < ((probs >= 0.5) != mask).mean()


def test_it_is_opencv_seeded_from_the_map(scene: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    image, _, probs = scene
    labels = np.full(probs.shape, 2, np.uint8)  # OpenCV's codes: 0 and 1 for sure, 2 and 3 perhaps
    labels[probs >= 0.5] = 3
    labels[probs >= 0.75] = 1
    labels[probs <= 0.3] = 0
    cv2.setRNGSeed(0)
    cv2.grabCut(image, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 2, cv2.GC_INIT_WITH_MASK)
    (refined,) = GrabCut(iterations=2, sure_fg=0.75, sure_bg=0.3).refine([image], [probs])
    np.testing.assert_array_equal(refined, labels % 2)


def test_what_is_sure_stays_whatever_its_colour(scene: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    image, mask, _ = scene
    probs = np.where(mask, 0.7, 0.3).astype(np.float32)
    probs[:5, :5], probs[20:30, 30:40] = 0.95, 0.05
    (refined,) = GrabCut().refine([image], [probs])
    assert (refined[:5, :5] == 1).all() and (refined[20:30, 30:40] == 0).all()


def test_neither_the_state_of_opencv_nor_the_memory_layout_changes_the_result() -> None:
    # Noise on both sides: which way the cut falls hangs on the random centres of the colours' clusters.
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    probs = np.full((30, 40), 0.3, np.float32)
    probs[:, 21:] = 0.7
    refiner = GrabCut(iterations=1)
    (first,) = refiner.refine([image], [probs])
    for seed in range(1, 9):
        cv2.setRNGSeed(seed)
        (again,) = pickle.loads(pickle.dumps(refiner)).refine([np.asfortranarray(image)], [np.asfortranarray(probs)])
        np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (9, 4)])
@pytest.mark.parametrize("value", [0.0, 0.4, 0.5, 1.0])
def test_a_map_of_one_side_is_binarised(shape: tuple[int, int], value: float) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    (refined,) = GrabCut().refine([image], [np.full(shape, value, np.float32)])
    np.testing.assert_array_equal(refined, np.float32(value >= 0.5))


@pytest.mark.parametrize("shape", [(1, 2), (1, 9), (7, 1), (2, 2)])
def test_a_few_pixels_are_enough(shape: tuple[int, int]) -> None:
    probs = np.full(shape, 0.05, np.float32)
    probs.flat[0] = 0.95
    for image in (np.full((*shape, 3), 7, np.uint8), np.arange(3 * probs.size, dtype=np.uint8).reshape(*shape, 3)):
        (refined,) = GrabCut().refine([image], [probs])
        np.testing.assert_array_equal(refined, probs >= 0.5)


@pytest.mark.parametrize(("name", "value"), [("sure_fg", 0.5), ("sure_bg", 0.5), ("iterations", 0)])
def test_parameters_without_meaning_are_named(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=name):
        GrabCut(**{name: value})
