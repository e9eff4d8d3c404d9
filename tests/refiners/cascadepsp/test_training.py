from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.contracts import Sample, UserError
from bench.refiners.cascadepsp import CascadePsp
from bench.refiners.cascadepsp.training import Course, Crops
from bench.training import TrainingArrays
from tests.refiners.cascadepsp.scenes import scene
from tests.toys import Pair, ToyMaps
from tests.weights import changed


class KilledError(Exception):
    """Stands for whatever ends a training before its time."""


def oval(index: int) -> Pair:
    """An image of one object; each number has another size."""
    image, probs = scene("oval", 29 + index, 41)
    return Sample(str(index), image, probs >= 0.5), probs


def ovals(count: int) -> ToyMaps:
    return ToyMaps.drawn(oval, count)


class Killing(ToyMaps):
    """The training that reads it for the ninth time is killed."""

    def __getitem__(self, index: int, /) -> Pair:
        if self.reads == 8:
            raise KilledError
        return super().__getitem__(index)


def tiny() -> CascadePsp:
    return CascadePsp(
        weights="train",
        L=66,
        fast=True,
        epochs=2,
        steps=3,
        train_batch=2,
        crop=32,
        lr=1e-3,
        encoder_weights="none",
    )


def losses(folder: Path) -> list[float]:
    with (folder / "training.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def test_the_weights_of_a_training_are_a_refiner(tmp_path: Path) -> None:
    trained = tiny()
    trained.fit(ovals(3), tmp_path)
    # Six steps from random weights, whose gradients are huge, need not lower the loss.
    assert len(losses(tmp_path)) == 2
    image, probs = scene("oval", 30, 41)
    (expected,) = trained.refine([image], [probs])
    given = CascadePsp(weights=tmp_path / "weights.safetensors", L=66, fast=True)
    np.testing.assert_array_equal(given.refine([image], [probs])[0], expected)
    other = CascadePsp(weights=changed(tmp_path / "weights.safetensors"), L=66, fast=True)
    assert not np.array_equal(other.refine([image], [probs])[0], expected)
    assert given.trained_on == ()
    # A finished training is loaded, val is not read.
    unread = ovals(3)
    tiny().fit(unread, tmp_path)
    assert unread.reads == 0


@pytest.mark.slow
def test_a_training_that_was_killed_ends_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    whole, resumed = tiny(), tiny()
    whole.fit(ovals(3), tmp_path / "whole")
    with pytest.raises(KilledError):
        tiny().fit(Killing(ovals(3).pairs), tmp_path / "killed")
    assert not (tmp_path / "killed" / "weights.safetensors").exists()
    resumed.fit(ovals(3), tmp_path / "killed")
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    image, probs = scene("oval", 30, 41)
    (expected,), (found,) = (refiner.refine([image], [probs]) for refiner in (whole, resumed))
    np.testing.assert_array_equal(found, expected)


def test_an_empty_val_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no samples to train on"):
        tiny().fit(ovals(0), tmp_path)


def test_without_a_training_there_is_nothing_to_refine_with() -> None:
    with pytest.raises(RuntimeError, match="fit"):
        tiny().refine([], [])


def test_the_defaults_are_the_authors() -> None:
    refiner = CascadePsp(weights="train")
    course = refiner.course
    recipe = course.recipe()
    assert course.epochs * course.steps == 45_000
    assert (recipe.batch, recipe.lr, recipe.optimizer, recipe.weight_decay) == (12, 2.25e-4, "adam", 1e-4)
    # The second drop is where theirs is, the first 3,750 iterations before theirs.
    assert [drop * recipe.drop_after * course.steps for drop in (1, 2)] == [18_750, 37_500]
    assert 3 * recipe.drop_after > recipe.epochs and recipe.drop == 0.1


def test_a_drawn_crop_has_its_mask_and_a_wrong_one(tmp_path: Path) -> None:
    data = TrainingArrays.build(
        tmp_path, 2, {"index": ((), np.int64)}, lambda index: {"index": np.asarray(index)}, "val"
    )
    change = Crops(ovals(2), side=64)
    torch.manual_seed(0)
    drawn = change(data.sample(1))
    torch.manual_seed(0)
    again = change(data.sample(1))
    assert {name: (field.dtype, tuple(field.shape)) for name, field in drawn.items()} == {
        "image": (torch.uint8, (3, 64, 64)),
        "truth": (torch.bool, (1, 64, 64)),
        "mask": (torch.bool, (1, 64, 64)),
    }
    assert all(torch.equal(drawn[name], again[name]) for name in drawn)
    assert (drawn["truth"] & drawn["mask"]).sum() < (drawn["truth"] | drawn["mask"]).sum()
    # The object is bright red on grey: where the mask was moved the image was moved too.
    red = drawn["image"][0].float() - drawn["image"][2].float()
    assert red[drawn["truth"][0]].mean() > red[~drawn["truth"][0]].mean() + 20


def test_a_course_says_what_does_not_fit() -> None:
    with pytest.raises(UserError, match="multiple of 8"):
        Course(1, 1, 1, 8, 1e-3)
