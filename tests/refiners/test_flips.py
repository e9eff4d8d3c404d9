from __future__ import annotations

import pickle
from collections.abc import Sequence

import numpy as np
import pytest

from bench.contracts import AsksBase, Image, ProbabilityMap
from bench.refiners.flips import FlipAverage, Flips

COUNTS: list[tuple[Flips, int]] = [("horizontal", 2), ("both", 4), ("turns", 8)]


def redness(images: Sequence[Image]) -> list[ProbabilityMap]:
    """A base without any sense of direction."""
    return [(image[..., 0] / 255).astype(np.float32) for image in images]


def images_of(*shapes: tuple[int, int]) -> list[Image]:
    draw = np.random.default_rng(0)
    images = [draw.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]
    for image in images:
        image.setflags(write=False)
    return images


@pytest.mark.parametrize(("flips", "count"), COUNTS)
def test_a_base_without_direction_gives_the_same_map(flips: Flips, count: int) -> None:
    images = images_of((5, 8), (1, 1), (1, 7), (6, 1), (4, 4))
    refiner = FlipAverage(flips=flips)
    assert isinstance(refiner, AsksBase)
    refiner.ask(redness)
    refined = pickle.loads(pickle.dumps(refiner)).refine(images, redness(images))
    for result, expected in zip(refined, redness(images), strict=True):
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, expected, atol=1e-6)


@pytest.mark.parametrize(("flips", "count"), COUNTS)
def test_every_view_is_asked_for_once_and_weighs_as_much_as_the_given_map(flips: Flips, count: int) -> None:
    seen: list[Image] = []

    def white(images: Sequence[Image]) -> list[ProbabilityMap]:
        seen.extend(images)
        return [np.ones(image.shape[:2], np.float32) for image in images]

    (image,) = images_of((3, 5))
    given = np.full((3, 5), 0.25, np.float32)
    given.setflags(write=False)
    refiner = FlipAverage(flips=flips)
    refiner.ask(white)
    (refined,) = refiner.refine([image], [given])
    np.testing.assert_allclose(refined, (0.25 + count - 1) / count, atol=1e-6)
    assert len({(view.shape, view.tobytes()) for view in [image, *seen]}) == count == len(seen) + 1


def test_the_view_is_mirrored_left_to_right() -> None:
    def left(images: Sequence[Image]) -> list[ProbabilityMap]:
        """1 in the first column alone, whatever is there."""
        return [np.eye(1, image.shape[1], dtype=np.float32).repeat(len(image), axis=0) for image in images]

    images = images_of((2, 4))
    refiner = FlipAverage()
    refiner.ask(left)
    (refined,) = refiner.refine(images, left(images))
    np.testing.assert_array_equal(refined, [[0.5, 0, 0, 0.5]] * 2)


def test_without_a_base_it_says_what_is_missing() -> None:
    with pytest.raises(RuntimeError, match="ask"):
        FlipAverage().refine(images_of((2, 2)), [np.zeros((2, 2), np.float32)])
