from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bench.contracts import ProbabilityMap, Sample
from refiners.threshold import Threshold, remap


class Maps:
    """Maps that are under-confident by a random amount, some with an empty mask."""

    def __init__(self, count: int = 6) -> None:
        draw = np.random.default_rng(1)
        self.ids = [str(n) for n in range(count)]
        self.pairs: list[tuple[Sample, ProbabilityMap]] = []
        for name in self.ids:
            mask = draw.random((9, 11)) < (0.0 if name == "0" else 0.4)
            # Few levels, so that brute force over all of them is exact.
            probs = (np.clip(mask * 0.3 + draw.normal(0.2, 0.15, mask.shape), 0, 1) * 20).round() / 20
            self.pairs.append((Sample(name, np.zeros((9, 11, 3), np.uint8), mask), probs.astype(np.float32)))

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int, /) -> tuple[Sample, ProbabilityMap]:
        return self.pairs[index]


def mean_iou(maps: Maps, threshold: float) -> float:
    ious = []
    for sample, probs in maps.pairs:
        pred = probs >= threshold
        union = (pred | sample.mask).sum()
        ious.append((pred & sample.mask).sum() / union if union else 1.0)
    return float(np.mean(ious))


def test_the_best_of_all_thresholds_is_found_and_kept(tmp_path: Path) -> None:
    maps = Maps()
    refiner = Threshold()
    refiner.fit(maps, tmp_path)
    candidates = (np.arange(1, 21) - 0.5) / 20
    assert np.isclose(mean_iou(maps, refiner.threshold), max(mean_iou(maps, t) for t in candidates))
    again = Threshold()
    again.fit(Maps(0), tmp_path)  # loads: there is nothing to learn from here
    assert again.threshold == refiner.threshold
    refined = refiner.refine([sample.image for sample, _ in maps.pairs], [probs for _, probs in maps.pairs])
    for (_, probs), result in zip(maps.pairs, refined, strict=True):
        np.testing.assert_array_equal(result >= 0.5, probs >= refiner.threshold)


def test_a_tie_goes_to_the_threshold_nearest_one_half(tmp_path: Path) -> None:
    perfect = Maps()
    perfect.pairs = [(sample, np.where(sample.mask, 0.9, 0.1).astype(np.float32)) for sample, _ in perfect.pairs]
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
