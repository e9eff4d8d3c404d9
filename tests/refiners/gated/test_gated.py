"""The gate around refiners that help some images and harm others, where it shows which are which."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.contracts import Image, MapDataset, ProbabilityMap, Refiner, Sample, UserError
from bench.refiners.gated import Gated
from tests.toys import Pair, ToyMaps


def scenes(count: int, seed: int) -> ToyMaps:
    """A disc that the map sees too small; half of the images are dark."""

    def pair(index: int) -> Pair:
        rng = np.random.default_rng([seed, index])
        rows, columns = np.mgrid[:32, :40]
        away = np.hypot(rows - rng.integers(12, 20), columns - rng.integers(12, 28))
        radius, dark = rng.uniform(7, 10), index % 2
        image = np.full((32, 40, 3), 40 if dark else 200) + rng.integers(-9, 9, (32, 40, 3))
        probs = np.where(away < radius - 2, 0.9, 0.1).astype(np.float32)
        return Sample(f"{index}", image.astype(np.uint8), away < radius), probs

    return ToyMaps.drawn(pair, count)


def is_dark(image: Image) -> bool:
    return bool(image.mean() < 120)


class Moody(Refiner):
    """Widens the disc rightly where it is bright, and empties the map where it is dark."""

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        return [self._one(image, probs) for image, probs in zip(images, maps, strict=True)]

    def _one(self, image: Image, probs: ProbabilityMap) -> ProbabilityMap:
        if is_dark(image):
            return np.zeros_like(probs)
        grown = np.pad(probs, 2, constant_values=0.1)
        views = [grown[row : row + 32, column : column + 40] for row in range(5) for column in range(5)]
        return np.max(views, axis=0)


class Learner(Moody):
    """The same, and it remembers what it was fitted on."""

    trainable = True

    def __init__(self) -> None:
        self.fitted: list[str] = []

    def fit(self, val: MapDataset, workdir: Path) -> None:
        workdir.mkdir(parents=True, exist_ok=True)
        self.fitted = list(val.ids)
        log = workdir.parent / "fits.txt"
        log.write_text((log.read_text() if log.is_file() else "") + " ".join(self.fitted) + "\n")


class Honest(Learner):
    """It can tell what it makes of an image that it has not learned from: nothing good."""

    def refine_unseen(self, val: MapDataset, index: int) -> ProbabilityMap:
        return np.zeros_like(val[index][1])


def test_it_refines_where_that_helps_and_hands_the_base_out_where_it_harms(tmp_path: Path) -> None:
    gate, test = Gated(refiner=Moody()), scenes(20, seed=2)
    gate.fit(scenes(60, seed=1), tmp_path)
    found = gate.refine(test.images, test.maps)
    refined = Moody().refine(test.images, test.maps)
    for image, before, after, whole in zip(test.images, test.maps, found, refined, strict=True):
        np.testing.assert_array_equal(after, before if is_dark(image) else whole)
        assert after is not before


def test_a_second_one_loads_what_the_first_learned(tmp_path: Path) -> None:
    val, test = scenes(40, seed=1), scenes(10, seed=2)
    one, other = Gated(refiner=Moody()), Gated(refiner=Moody())
    one.fit(val, tmp_path)
    reads = val.reads
    other.fit(val, tmp_path)
    assert val.reads == reads
    for first, second in zip(one.refine(test.images, test.maps), other.refine(test.images, test.maps), strict=True):
        np.testing.assert_array_equal(first, second)


def test_one_that_learns_is_judged_by_what_has_not_seen_the_image(tmp_path: Path) -> None:
    val, gate = scenes(20, seed=1), Gated(refiner=Learner())
    gate.fit(val, tmp_path)
    assert (tmp_path / "fits.txt").read_text().split() == val.ids  # what is used was fitted on all of val
    parts = [line.split() for line in (tmp_path / "folds" / "fits.txt").read_text().splitlines()]
    left_out = [set(val.ids) - set(part) for part in parts]
    assert len(parts) == 5 and sorted(sample for part in left_out for sample in part) == sorted(val.ids)


def test_one_that_knows_what_it_makes_of_unseen_images_is_asked_and_fitted_once(tmp_path: Path) -> None:
    val, gate = scenes(20, seed=1), Gated(refiner=Honest())
    gate.fit(val, tmp_path)
    assert not (tmp_path / "folds").exists()
    for before, after in zip(val.maps, gate.refine(val.images, val.maps), strict=True):
        np.testing.assert_array_equal(before, after)  # its unseen maps are empty: nothing is refined


def test_a_risk_of_one_asks_for_a_gain_alone_and_of_few_images_nothing_is_promised(tmp_path: Path) -> None:
    test = scenes(2, seed=2)
    few, bold = Gated(refiner=Moody()), Gated(refiner=Moody(), risk=1.0)
    few.fit(scenes(8, seed=1), tmp_path / "few")  # 1 of 9 images is more than 10 %
    bold.fit(scenes(40, seed=1), tmp_path / "bold")
    for before, after in zip(test.maps, few.refine(test.images, test.maps), strict=True):
        np.testing.assert_array_equal(before, after)
    assert not np.array_equal(bold.refine(test.images, test.maps)[0], test.maps[0])


def test_void_pixels_decide_nothing(tmp_path: Path) -> None:
    """What the refiner does to the pixels that no metric counts is neither gain nor loss."""

    def voided(sample: Sample) -> Sample:
        ignore = np.ones_like(sample.mask)
        ignore[:2] = False
        return Sample(sample.id, sample.image, sample.mask & ~ignore, ignore=ignore)

    gate = Gated(refiner=Moody())
    gate.fit(ToyMaps((voided(sample), probs) for sample, probs in scenes(12, seed=1).pairs), tmp_path)
    with np.load(tmp_path / "judged.npz") as stored:
        assert (stored["gains"] == 0).all()


@pytest.mark.parametrize("risk", [0.0, -0.1, 1.5, float("nan")])
def test_what_does_not_fit_is_the_users_to_fix(risk: float, tmp_path: Path) -> None:
    made: Any = Moody()
    with pytest.raises(UserError, match=r"gated\[risk=.*above 0 and at most 1"):
        Gated(refiner=made, risk=risk)
    with pytest.raises(UserError, match="val has 1 image"):
        Gated(refiner=made).fit(scenes(1, seed=0), tmp_path)
    with pytest.raises(RuntimeError, match="fit"):
        Gated(refiner=made).refine([], [])
