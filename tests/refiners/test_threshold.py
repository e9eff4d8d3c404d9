from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bench.contracts import Sample
from bench.refiners.threshold import Threshold, remap
from tests.toys import Pair, ToyMaps


def under_confident(count: int = 6) -> ToyMaps:
    """Maps that are under-confident by a random amount, some with an empty mask."""
    draw = np.random.default_rng(1)

    def pair(index: int) -> Pair:
        mask = draw.random((9, 11)) < (0.4 if index else 0.0)
        # Few levels, so that brute force over all of them is exact.
        probs = (np.clip(mask * 0.3 + draw.normal(0.2, 0.15, mask.shape), 0, 1) * 20).round() / 20
        return Sample(str(index), np.zeros((9, 11, 3), np.uint8), mask), probs.astype(np.float32)

    return ToyMaps.drawn(pair, count)


def mean_iou(maps: ToyMaps, threshold: float) -> float:
    ious = []
    for sample, probs in maps.pairs:
        pred = probs >= threshold
        union = (pred | sample.mask).sum()
        ious.append((pred & sample.mask).sum() / union if union else 1.0)
    return float(np.mean(ious))


def test_the_best_of_all_thresholds_is_found_and_kept(tmp_path: Path) -> None:
    maps = under_confident()
    refiner = Threshold()
    refiner.fit(maps, tmp_path)
    candidates = (np.arange(1, 21) - 0.5) / 20
    assert np.isclose(mean_iou(maps, refiner.threshold), max(mean_iou(maps, t) for t in candidates))
    again = Threshold()
    again.fit(under_confident(0), tmp_path)  # loads: there is nothing to learn from here
    assert again.threshold == refiner.threshold
    refined = refiner.refine(maps.images, maps.maps)
    for probs, result in zip(maps.maps, refined, strict=True):
        np.testing.assert_array_equal(result >= 0.5, probs >= refiner.threshold)


def test_a_tie_goes_to_the_threshold_nearest_one_half(tmp_path: Path) -> None:
    pairs = under_confident().pairs
    perfect = ToyMaps((sample, np.where(sample.mask, 0.9, 0.1).astype(np.float32)) for sample, _ in pairs)
    refiner = Threshold()
    refiner.fit(perfect, tmp_path)
    assert abs(refiner.threshold - 0.5) < 1e-4


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=30), st.integers(1, 65535))
def test_the_remap_is_monotone_and_moves_the_decision(values: list[float], code: int) -> None:
    threshold = (code - 0.5) / 65535
    probs = np.sort(np.array([values], np.float32), axis=1)
    remapped = remap(probs, threshold)
    assert remapped.dtype == np.float32
    assert remapped.min() >= 0 and remapped.max() <= 1
    assert (np.diff(remapped) >= 0).all()
    np.testing.assert_array_equal(remapped >= 0.5, probs >= threshold)


@given(st.floats(0, 1, width=32))
def test_one_half_leaves_the_map_as_it_is(value: float) -> None:
    probs = np.full((1, 1), value, np.float32)
    np.testing.assert_allclose(remap(probs, 0.5), probs, atol=1e-7)
