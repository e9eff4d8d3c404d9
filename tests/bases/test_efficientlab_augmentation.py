from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.bases.efficientlab.augmentation import (
    CHANGES,
    add_noise,
    augmented,
    erase,
    expose,
    mirror,
    rotate,
    translate,
)
from bench.training import seeded

SIDE = 56


def pair(seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(3, SIDE, SIDE, generator=draw), (torch.rand(1, SIDE, SIDE, generator=draw) > 0.5).float()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), which=st.sampled_from(CHANGES))
def test_shapes_stay_and_masks_stay_masks(seed: int, which: object) -> None:
    assert callable(which)
    image, mask = pair(seed)
    kept = image.clone(), mask.clone()
    with seeded(seed):
        changed, target = which(image, mask)
    assert changed.shape == image.shape and target.shape == mask.shape
    assert set(target.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(image, kept[0]) and torch.equal(mask, kept[1])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_what_is_erased_is_background_and_2_to_10_percent(seed: int) -> None:
    image, mask = torch.full((3, 112, 112), 2.0), torch.ones(1, 112, 112)
    with seeded(seed):
        changed, target = erase(image, mask)
    hole = target[0] == 0
    assert torch.equal(hole, (changed != 2.0).all(0))
    assert 0.018 < float(hole.float().mean()) < 0.104  # a side is rounded to whole pixels
    rows, columns = hole.any(1).sum(), hole.any(0).sum()
    assert rows * columns == hole.sum()


def test_translation_moves_image_and_mask_alike_by_up_to_a_tenth() -> None:
    rows, columns = torch.meshgrid(torch.arange(SIDE) + 1.0, torch.arange(SIDE) + 1.0, indexing="ij")
    image = torch.stack([rows, columns, rows])
    shifts, rolled = set(), set()
    for seed in range(60):
        with seeded(seed):
            changed, target = translate(image, torch.ones(1, SIDE, SIDE))
        shown = changed[0] > 0
        assert torch.equal(shown, target[0] > 0)
        rolled.add(bool(shown.all()))
        middle = changed[:, SIDE // 2, SIDE // 2] - image[:, SIDE // 2, SIDE // 2]
        shifts |= {int(value) for value in middle[:2]}
    assert rolled == {True, False}
    assert max(shifts) == 6 and min(shifts) == -6  # 23 of 224 pixels, at 56


def test_mirroring_twice_is_nothing() -> None:
    image, mask = pair()
    once = mirror(image, mask)
    assert torch.equal(once[0], torch.from_numpy(np.ascontiguousarray(image.numpy()[:, :, ::-1])))
    assert all(torch.equal(*both) for both in zip(mirror(*once), (image, mask), strict=True))


def test_noise_and_exposure_are_as_strong_as_in_the_authors_code() -> None:
    noise, shift = [], []
    image, mask = torch.full((3, SIDE, SIDE), 0.5), torch.ones(1, SIDE, SIDE)
    with seeded(0):
        for _ in range(400):
            noise.append(float((add_noise(image, mask)[0] - 0.5).std()) * 255)
            brighter = expose(image, mask)[0] - 0.5
            assert float(brighter.std()) == pytest.approx(0, abs=1e-6)
            shift.append(float(brighter.mean()) * 255)
    assert np.mean(noise) == pytest.approx(5.1, abs=0.2) and np.std(noise) == pytest.approx(1.0, abs=0.15)
    assert np.mean(shift) == pytest.approx(0, abs=2) and np.std(shift) == pytest.approx(12.75, abs=1.5)


def test_a_rotation_keeps_the_middle_and_turns_by_up_to_45_degrees() -> None:
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    ray = ((rows - SIDE / 2).abs() < 2) & (columns > SIDE / 2)  # from the middle to the right
    angles, corners = [], set()
    for seed in range(60):
        with seeded(seed):
            changed, target = rotate(torch.ones(3, SIDE, SIDE), ray[None].float())
        ys, xs = torch.nonzero(target[0], as_tuple=True)
        near = ((ys - SIDE / 2) ** 2 + (xs - SIDE / 2) ** 2) < (SIDE / 3) ** 2  # mirrored copies lie farther out
        angles.append(
            np.degrees(np.arctan2(float((ys[near] - SIDE / 2 + 0.5).mean()), float((xs[near] - SIDE / 2 + 0.5).mean())))
        )
        assert changed[0, SIDE // 2, SIDE // 2] == pytest.approx(1)
        corners.add(bool(changed[0, 0, 0] < 0.5))
    assert 35 < max(angles) < 47 and -47 < min(angles) < -35
    assert corners == {True, False}


def test_half_of_the_samples_are_changed() -> None:
    images, masks = (torch.stack(parts) for parts in zip(*(pair(seed) for seed in range(200)), strict=True))
    with seeded(0):
        changed, _ = augmented(images, masks)
    with seeded(0):
        again, _ = augmented(images, masks)
    same = (changed == images).flatten(1).all(1)
    assert 70 < int(same.sum()) < 130
    assert torch.equal(changed, again)
