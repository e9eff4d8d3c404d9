from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from bench.bases.efficientlab.augmentation import (
    BORDERS,
    CHANGES,
    add_noise,
    augmented,
    beyond,
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
    assert len(changed[:, hole].unique()) == 1
    rows, columns = (hole.any(axis) for axis in (1, 0))
    assert rows.sum() * columns.sum() == hole.sum() and float(hole.float().mean()) < 0.1
    if not rows[-1] and not columns[-1]:  # it ends before the border
        assert float(hole.float().mean()) > 0.015  # a side is cut to whole pixels
        assert 0.26 < float(rows.sum() / columns.sum()) < 3.9


def test_translation_moves_image_and_mask_along_one_axis_by_up_to_a_tenth() -> None:
    image = (
        torch.arange(2.0, SIDE * SIDE + 2).view(1, SIDE, SIDE).repeat(3, 1, 1)
    )  # no two pixels alike, none in [0, 1]
    shifts, rolled = set(), set()
    for seed in range(80):
        with seeded(seed):
            changed, target = translate(image, torch.ones(1, SIDE, SIDE))
        down, right = divmod(int(changed[0, 28, 28]) - int(image[0, 28, 28]) + 28, SIDE)
        by = (-down, 28 - right)
        assert 0 in by
        shifts.add(by)
        came = target[0] == 0
        expected = np.roll(image[0].numpy(), by, (0, 1))
        np.testing.assert_array_equal(changed[0][~came], expected[~came.numpy()])
        assert any(by)
        rolled.add(not came.any())
        if came.any():
            # A whole strip on the side that it moved away from, of one colour.
            strip = np.zeros((SIDE, SIDE), bool)
            strip[: max(0, by[0])] = strip[SIDE + min(0, by[0]) :] = True
            strip[:, : max(0, by[1])] = strip[:, SIDE + min(0, by[1]) :] = True
            np.testing.assert_array_equal(came, strip)
            fill = changed[:, came]
            assert fill.unique(dim=1).shape[1] == 1 and 0 <= fill.min() < fill.max() <= 1
            assert len(fill[:, 0].unique()) == 3
    assert rolled == {True, False}
    assert {max(axis) for axis in zip(*shifts, strict=True)} == {6}  # 23 of 224 pixels, at 56
    assert {min(axis) for axis in zip(*shifts, strict=True)} == {-6}


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
    angles, kinds = [], set()
    for seed in range(60):
        with seeded(seed):
            changed, target = rotate(torch.ones(3, SIDE, SIDE), ray[None].float())
        ys, xs = torch.nonzero(target[0], as_tuple=True)
        near = ((ys - SIDE / 2) ** 2 + (xs - SIDE / 2) ** 2) < (SIDE / 3) ** 2  # mirrored copies lie farther out
        angles.append(
            np.degrees(np.arctan2(float((ys[near] - SIDE / 2 + 0.5).mean()), float((xs[near] - SIDE / 2 + 0.5).mean())))
        )
        # Nothing is black beyond the border: there is the image, one grey, or noise.
        beyond_it = changed[(changed - 1).abs() > 1e-5]
        assert len(beyond_it.unique()) < 2 or beyond_it.mean() == pytest.approx(0.5, abs=0.05)
        kinds.add(min(2, len(beyond_it.unique())))
    assert 35 < max(angles) < 47 and -47 < min(angles) < -35
    assert kinds == {0, 1, 2}


@pytest.mark.parametrize(("border", "mode"), [("reflect", "symmetric"), ("mirror", "reflect"), ("wrap", "wrap")])
@pytest.mark.parametrize("side", [1, 2, 7, 56])
def test_an_image_goes_on_beyond_its_border_as_scipy_s_do(border: Any, mode: Any, side: int) -> None:
    np.testing.assert_array_equal(beyond(border, side), np.pad(np.arange(side), side // 2, mode=mode))


def test_a_rotation_is_scipy_s() -> None:
    image, mask = pair()
    image = torch.from_numpy(ndimage.gaussian_filter(image.numpy(), (0, 3, 3)))
    seen = set()
    for seed in range(16):
        with seeded(seed):
            changed, target = rotate(image, mask)
        with seeded(seed):
            angle, border = float(torch.rand(())) * 90 - 45, BORDERS[int(torch.randint(4, ()))]
        # scipy's own "wrap" joins the last pixel to the first; its "grid-wrap" begins anew.
        mode = {"wrap": "grid-wrap"}.get(border, border)
        expected = ndimage.rotate(image.numpy(), angle, (1, 2), reshape=False, order=1, mode=mode, cval=-256)
        inside = expected >= 0  # of what is filled, and of the pixels that mix with it, more below
        assert inside.all() or (border == "constant" and inside.mean() > 0.6)
        np.testing.assert_allclose(changed[inside], expected[inside], rtol=0, atol=1e-4)
        labels = ndimage.rotate(mask[0].numpy(), angle, reshape=False, order=0, mode=mode)
        differs = (target[0].numpy() != labels)[inside.all(0)]
        assert differs.mean() < 0.01  # halfway between two pixels either is right
        seen.add(border)
    assert seen == set(BORDERS)


def test_what_noise_and_exposure_push_out_is_clipped() -> None:
    for change in (add_noise, expose):
        for value in (0.0, 1.0):
            with seeded(0):
                changed = torch.stack([change(torch.full((3, 8, 8), value), torch.ones(1, 8, 8))[0] for _ in range(20)])
            assert changed.min() >= 0 and changed.max() <= 1 and changed.unique().numel() > 1


def test_half_of_the_samples_are_changed() -> None:
    images, masks = (torch.stack(parts) for parts in zip(*(pair(seed) for seed in range(200)), strict=True))
    with seeded(0):
        changed, _ = augmented(images, masks)
    with seeded(0):
        again, _ = augmented(images, masks)
    same = (changed == images).flatten(1).all(1)
    assert 70 < int(same.sum()) < 130
    assert torch.equal(changed, again)
