from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.contracts import SPLITS, UserError
from bench.datasets.quickstart import Quickstart, scenes
from tests.bench.datasets.files import samples

NOWHERE = Path("/absent")


def test_counts_and_ids() -> None:
    source = Quickstart(root=NOWHERE, train=3, val=0, test=2)
    assert source.expected == source.found == {"train": 3, "val": 0, "test": 2}
    assert [len(source.split(split)) for split in SPLITS] == [3, 0, 2]
    assert list(source.split("test").ids) == ["test-0000", "test-0001"]
    assert source.completeness() == "" and source.verify() == []


def test_a_sample_depends_on_seed_split_and_index_alone() -> None:
    few, many = Quickstart(root=NOWHERE, test=3).split("test"), Quickstart(root=NOWHERE, test=30).split("test")
    many[7]
    assert np.array_equal(few[2].image, many[2].image) and np.array_equal(few[2].mask, many[2].mask)
    others = [few[1], Quickstart(root=NOWHERE).split("val")[2], Quickstart(root=NOWHERE, seed=3).split("test")[2]]
    assert not any(np.array_equal(few[2].image, other.image) for other in others)
    assert few[-1].id == "test-0002"
    with pytest.raises(IndexError):
        few[3]


@pytest.mark.parametrize("size", [32, 96, 130])
def test_every_scene_has_roads_and_is_not_full_of_them(size: int) -> None:
    for sample in samples(Quickstart(root=NOWHERE, size=size, val=40).split("val")):
        assert sample.image.shape == (size, size, 3) and sample.image.dtype == np.uint8
        assert sample.mask.shape == (size, size) and sample.mask.dtype == bool
        assert sample.image.std() > 5
        assert 0 < sample.mask.mean() < 0.5


def test_the_weather_hides_regions_and_leaves_the_mask_alone() -> None:
    changed = []
    for seed in range(20):
        clear, mask = scenes.draw(np.random.default_rng(seed), 96, severity=0)
        hidden, same = scenes.draw(np.random.default_rng(seed), 96, severity=1)
        assert np.array_equal(mask, same)
        difference = np.abs(clear.astype(float) - hidden).mean(axis=2)
        changed.append(difference.reshape(4, 24, 4, 24).mean(axis=(1, 3)))  # by patch of a quarter of the side
    by_patch = np.array(changed).reshape(20, 16)
    # Regional: in most scenes the patch hit hardest changes far more than the one that is spared.
    assert np.median(by_patch.max(axis=1) / by_patch.min(axis=1)) > 3


def test_val_and_test_are_drawn_alike() -> None:
    source = Quickstart(root=NOWHERE, train=0, val=100, test=100)
    shares = {split: [sample.mask.mean() for sample in samples(source.split(split))] for split in ("val", "test")}
    deviation = np.std(shares["val"]) / np.sqrt(100)
    assert abs(np.mean(shares["val"]) - np.mean(shares["test"])) < 4 * np.sqrt(2) * deviation


def test_the_fingerprint_follows_the_parameters() -> None:
    def fingerprint(**parameters: int) -> str:
        return Quickstart(root=NOWHERE, **parameters).split("val").fingerprint()

    assert fingerprint() == fingerprint()
    assert len({fingerprint(), fingerprint(val=9), fingerprint(size=64), fingerprint(seed=1)}) == 4
    assert fingerprint(test=9) == fingerprint()


@pytest.mark.parametrize("parameters", [{"size": 31}, {"train": -1}, {"test": -1}, {"seed": -1}])
def test_parameters_out_of_range(parameters: dict[str, int]) -> None:
    with pytest.raises(UserError, match=r"quickstart"):
        Quickstart(root=NOWHERE, **parameters)
