"""One threshold an image: learned where the map tells it, and left alone where one serves all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesRegressor

from bench.contracts import Image, MapDataset, ProbabilityMap, Refiner, Sample, UserError
from bench.refiners.image_threshold import ImageThreshold, map_features
from tests.toys import Pair, ToyMaps


def discs(count: int, seed: int, *, levels: tuple[float, ...]) -> ToyMaps:
    """Discs with a halo: the right threshold lies between the two, and every image is at one of the levels."""

    def pair(index: int) -> Pair:
        rng = np.random.default_rng([seed, index])
        rows, columns = np.mgrid[:32, :40]
        away = np.hypot(rows - rng.integers(12, 20), columns - rng.integers(12, 28))
        radius, level = rng.uniform(5, 8), levels[index % len(levels)]
        probs = np.where(away < radius, level, np.where(away < radius + 3, level - 0.1, 0.0))
        image = rng.integers(0, 256, (32, 40, 3), dtype=np.uint8)
        return Sample(f"{index}", image, away < radius), probs.astype(np.float32)

    return ToyMaps.drawn(pair, count)


def mean_iou(maps: list[np.ndarray], masks: list[np.ndarray]) -> float:
    pairs = [((probs >= 0.5), mask) for probs, mask in zip(maps, masks, strict=True)]
    return float(np.mean([(pred & mask).sum() / (pred | mask).sum() for pred, mask in pairs]))


def test_it_finds_each_images_own_threshold_where_none_serves_all(tmp_path: Path) -> None:
    levels = (0.3, 0.55, 0.95)
    refiner, test = ImageThreshold(trees=50), discs(12, seed=2, levels=levels)
    refiner.fit(discs(45, seed=1, levels=levels), tmp_path)
    kept = [probs.copy() for probs in test.maps]
    refined = refiner.refine(test.images, test.maps)
    assert mean_iou(refined, test.masks) > 0.99 and mean_iou(test.maps, test.masks) < 0.6
    for before, probs, after in zip(kept, test.maps, refined, strict=True):
        np.testing.assert_array_equal(before, probs)
        assert after.dtype == np.float32 and after.min() >= 0 and after.max() <= 1
    for leave_out in ((), ("choice.npz",)):  # the second as an earlier release left it
        for name in leave_out:
            (tmp_path / name).unlink()
        again = ImageThreshold(trees=50)
        again.fit(discs(45, seed=1, levels=levels), tmp_path)
        for one, same in zip(refined, again.refine(test.images, test.maps), strict=True):
            np.testing.assert_array_equal(one, same)


def test_what_val_decided_is_not_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    val, grown = discs(20, seed=1, levels=(0.3, 0.9)), 0
    fit = ExtraTreesRegressor.fit

    def counting(*args: Any, **more: Any) -> Any:
        nonlocal grown
        grown += 1
        return fit(*args, **more)

    monkeypatch.setattr(ExtraTreesRegressor, "fit", counting)
    for expected in (6, 1):  # five that have not seen a part of val each, and the one that is used
        grown = 0
        ImageThreshold(trees=5).fit(val, tmp_path)
        assert grown == expected


@pytest.mark.parametrize(("level", "moved"), [(0.55, False), (0.35, True)])
def test_where_one_threshold_serves_all_it_is_one_or_none(level: float, moved: bool, tmp_path: Path) -> None:
    refiner, test = ImageThreshold(trees=20), discs(4, seed=2, levels=(level,))
    refiner.fit(discs(20, seed=1, levels=(level,)), tmp_path)
    assert refiner._trees is None
    refined = refiner.refine(test.images, test.maps)
    assert mean_iou(refined, test.masks) == 1.0
    assert moved != np.array_equal(refined[0], test.maps[0])


class Faded(Refiner):
    """Halves every probability; fitted copies are counted."""

    trainable = True

    def fit(self, val: MapDataset, workdir: Path) -> None:
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / "seen.txt").write_text(" ".join(val.ids))

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        return [(probs / 2).astype(np.float32) for probs in maps]


def test_its_thresholds_are_of_the_maps_of_the_refiner_that_it_is_given(tmp_path: Path) -> None:
    inner: Any = Faded()
    refiner, test = ImageThreshold(refiner=inner, trees=20), discs(6, seed=2, levels=(0.55,))
    val = discs(20, seed=1, levels=(0.55,))
    refiner.fit(val, tmp_path)
    assert mean_iou(refiner.refine(test.images, test.maps), test.masks) == 1.0
    assert mean_iou(Faded().refine(test.images, test.maps), test.masks) == 0.0
    # Of val's images, maps are what a copy made of them that had not learned from them.
    assert (tmp_path / "refiner" / "seen.txt").read_text().split() == val.ids
    parts = [path.read_text().split() for path in (tmp_path / "folds").glob("*/seen.txt")]
    assert sorted(sample for part in parts for sample in set(val.ids) - set(part)) == sorted(val.ids)
    unseen = [refiner.refine_unseen(val, index) for index in range(len(val))]
    assert mean_iou(unseen, val.masks) == 1.0


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1), st.sampled_from([None, 0.0, 1.0]))
@settings(max_examples=40, deadline=None)
def test_what_the_trees_see_is_finite(rows: int, columns: int, seed: int, value: float | None) -> None:
    rng = np.random.default_rng(seed)
    probs = rng.random((rows, columns), dtype=np.float32) if value is None else np.full((rows, columns), value, "f4")
    found = map_features(rng.integers(0, 256, (rows, columns, 3), dtype=np.uint8), probs)
    assert found.shape == (60,) and np.isfinite(found).all()
    assert found[:32].sum() == pytest.approx(1)


def test_what_does_not_fit_is_the_users_to_fix(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"image-threshold\[trees=0\].*1 or more"):
        ImageThreshold(trees=0)
    with pytest.raises(UserError, match="val has 1 image"):
        ImageThreshold().fit(discs(1, seed=0, levels=(0.5,)), tmp_path)
