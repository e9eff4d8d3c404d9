from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from bench.contracts import ProbabilityMap, Sample, UserError
from bench.refiners.patch_threshold import PatchThreshold, patch_features
from tests.toys import Pair, ToyMaps

PATCH = 8


def two_colours(count: int = 4, side: int = 44) -> ToyMaps:
    """Patches of two colours: red ones have foreground 0.3 on 0.1, blue ones 0.9 on 0.7. No one threshold fits."""
    draw = np.random.default_rng(2)

    def pair(index: int) -> Pair:
        red = np.kron(draw.random((6, 6)) < 0.5, np.ones((PATCH, PATCH), bool))[:side, :side]
        mask = draw.random((side, side)) < 0.4
        image = np.zeros((side, side, 3), np.uint8)
        image[red, 0], image[~red, 2] = 200, 200
        return Sample(str(index), image, mask), (np.where(red, 0.1, 0.7) + 0.2 * mask).astype(np.float32)

    return ToyMaps.drawn(pair, count)


def refined(refiner: PatchThreshold, maps: ToyMaps) -> list[ProbabilityMap]:
    return refiner.refine(maps.images, maps.maps)


def small() -> PatchThreshold:
    return PatchThreshold(patch=PATCH, trees=60, depth=2, learning_rate=0.1, min_samples=5)


def test_thresholds_that_the_patch_tells_are_learned_and_kept(tmp_path: Path) -> None:
    maps, unseen = two_colours(), two_colours(7)
    refiner = small()
    for before, (_, probs) in zip(refined(refiner, maps), maps.pairs, strict=True):
        np.testing.assert_array_equal(before, probs)  # nothing learned yet
    refiner.fit(maps, tmp_path)
    results = refined(refiner, unseen)
    for (sample, probs), result in zip(unseen.pairs, results, strict=True):
        np.testing.assert_array_equal(result >= 0.5, sample.mask)
        assert ((probs >= 0.5) != sample.mask).mean() > 0.2
    again = small()
    again.fit(two_colours(0), tmp_path)  # loads: there is nothing to learn from here
    for refiner in (again, pickle.loads(pickle.dumps(again))):
        for one, two in zip(refined(refiner, unseen), results, strict=True):
            np.testing.assert_array_equal(one, two)


def test_what_the_trees_see_of_a_patch() -> None:
    probs = np.array([[0.0, 0.2, 1.0], [0.4, 0.6, 0.5]], np.float32)
    image = np.zeros((2, 3, 3), np.uint8)
    image[0, 0] = (255, 51, 0)
    features = patch_features(image, probs, 2)
    assert features.shape == (1, 2, 36) and features.dtype == np.float32
    left, right = features[0]
    # Mean, deviation, share >= 0.5, share in (0.1, 0.9), smallest, (5 and 25 %), median, (75 and 95 %), largest.
    np.testing.assert_allclose(left[[0, 1, 2, 3, 4, 7, 10]], [0.3, 0.05**0.5, 0.25, 0.75, 0, 0.3, 0.6], rtol=1e-5)
    np.testing.assert_allclose(right[[0, 1, 2, 3, 4, 7, 10]], [0.75, 0.25, 1, 0.5, 0.5, 0.75, 1], rtol=1e-5)
    np.testing.assert_allclose(left[11:22], right[11:22])
    np.testing.assert_allclose(left[[11, 13, 14, 21]], [0.45, 0.5, 4 / 6, 1], rtol=1e-5)
    # Neighbours row by row; beyond the border stands the nearest patch.
    mean = [0.3, 0.75]
    np.testing.assert_allclose(left[22:30], [mean[k] for k in (0, 0, 1, 0, 1, 0, 0, 1)], rtol=1e-5)
    np.testing.assert_allclose(right[22:30], [mean[k] for k in (0, 1, 1, 0, 1, 0, 1, 1)], rtol=1e-5)
    np.testing.assert_allclose(left[30:], [0.25, 0.05, 0, 0.1875**0.5, 0.0075**0.5, 0], rtol=1e-5)
    np.testing.assert_allclose(right[30:], 0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 17), (9, 1), (13, 7), (64, 40)])
@pytest.mark.parametrize("fill", [0.0, 1.0, None])
def test_any_map_comes_back_whole(shape: tuple[int, int], fill: float | None, tmp_path: Path) -> None:
    draw = np.random.default_rng(5)
    probs = draw.random(shape).astype(np.float32) if fill is None else np.full(shape, fill, np.float32)
    image = draw.integers(0, 256, (*shape, 3), np.uint8)
    maps = ToyMaps([(Sample("a", image, probs >= 0.4), probs)])
    for array in (probs, image):
        array.setflags(write=False)
    learned, known = small(), small()
    learned.fit(maps, tmp_path / "one")  # a patch or a few are enough to fit
    known.fit(two_colours(), tmp_path / "two")
    for refiner in (learned, known):
        (result,) = refiner.refine([image], [probs])
        assert result.dtype == np.float32 and result.shape == shape
        assert result.min() >= 0 and result.max() <= 1  # NaN would fail
        np.testing.assert_array_equal(result, refiner.refine([image], [probs])[0])


@pytest.mark.parametrize(
    "wrong", [{"patch": 0}, {"trees": 0}, {"depth": 0}, {"min_samples": 0}, {"learning_rate": 0.0}]
)
def test_parameters_out_of_range_are_named(wrong: dict[str, int]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        PatchThreshold(**wrong)


def test_an_empty_val_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no maps"):
        PatchThreshold().fit(two_colours(0), tmp_path)
    assert not list(tmp_path.iterdir())
