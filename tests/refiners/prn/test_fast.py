"""prn-fast in miniature: it starts as the base, uses the image, and comes back the same from its weights."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts import Sample, UserError
from bench.refiners.prn.fast_network import (
    CELL,
    CONFIDENT,
    Cells,
    FastNetwork,
    bounded_logits,
    corrected,
    shifted,
    strength_of,
)
from bench.refiners.prn.fast_refiner import PrnFast, same_features
from bench.refiners.prn.fast_training import bce_iou
from bench.refiners.threshold import Threshold, remap
from bench.training import seeded
from bench.training.folding import folded
from tests.refiners.prn.test_refiner import biased, mean_iou
from tests.toys import Pair, ToyMaps
from tests.weights import changed


def smeared(count: int, seed: int, side: int = 40) -> ToyMaps:
    """Bright discs of which the map knows the place but not the outline."""

    def pair(index: int) -> Pair:
        rng = np.random.default_rng([seed, index])
        rows, columns = np.mgrid[:side, : side + 8]
        away = np.hypot(rows - rng.integers(14, 26), columns - rng.integers(14, 34))
        radius = rng.uniform(6, 13)
        mask = away < radius
        image = np.where(mask, 200, 60)[..., None] + rng.integers(-20, 20, (*mask.shape, 3))
        probs = 1 / (1 + np.exp((away - 9.5) / 2))
        return Sample(str(index), image.astype(np.uint8), mask), probs.astype(np.float32)

    return ToyMaps.drawn(pair, count)


def right(count: int, seed: int, side: int = 40) -> ToyMaps:
    """The same discs with maps that need no refining."""
    pairs = smeared(count, seed, side).pairs
    return ToyMaps((sample, np.where(sample.mask, 0.9, 0.1).astype(np.float32)) for sample, _ in pairs)


def miniature(*, epochs: int = 1, encoder: str = "mobilenet_v2") -> PrnFast:
    return PrnFast(size=32, width=8, encoder=encoder, encoder_weights="none", epochs=epochs, lr=4e-3)


def test_it_corrects_patches_of_the_map_and_a_second_object_loads_the_same(tmp_path: Path) -> None:
    refiner = miniature(epochs=16)
    refiner.fit(biased(32, seed=1), tmp_path)
    test = biased(12, seed=2)
    images, maps, masks = test.images, test.maps, test.masks
    kept = [probs.copy() for probs in maps]
    refined = refiner.refine(images, maps)
    assert mean_iou(refined, masks) > mean_iou(maps, masks) + 0.03
    for before, probs, after in zip(kept, maps, refined, strict=True):
        np.testing.assert_array_equal(before, probs)
        assert after.shape == probs.shape and after.dtype == np.float32
        assert after.min() >= 0 and after.max() <= 1
    ready = PrnFast(weights=tmp_path / "weights.safetensors")
    assert not ready.trainable and ready.size == 32
    other = PrnFast(weights=changed(tmp_path / "weights.safetensors"))
    for one, same, moved in zip(refined, ready.refine(images, maps), other.refine(images, maps), strict=True):
        np.testing.assert_array_equal(one, same)
        assert not np.array_equal(one, moved)


@pytest.mark.slow
def test_it_learns_from_the_image_what_no_map_tells(tmp_path: Path) -> None:
    # A head's finest level has a place for 8 x 8 pixels: at 32 of them it could not draw a disc.
    refiner = PrnFast(size=96, width=8, encoder="resnet18", encoder_weights="none", epochs=40, lr=4e-3)
    refiner.fit(smeared(32, seed=1), tmp_path)
    test = smeared(12, seed=2)
    # All maps are alike up to a shift: none knows its disc's radius.
    refined = refiner.refine(test.images, test.maps)
    assert mean_iou(refined, test.masks) > mean_iou(test.maps, test.masks) + 0.05


def test_where_held_out_images_gain_nothing_the_maps_stay_as_they_are(tmp_path: Path) -> None:
    refiner = miniature(epochs=2)
    refiner.fit(right(8, seed=1, side=32), tmp_path)
    sample, _ = right(1, seed=2)[0]
    probs = np.random.default_rng(0).random(sample.mask.shape, dtype=np.float32)
    probs[:2] = [[0], [1]]
    (refined,) = refiner.refine([sample.image], [probs])
    np.testing.assert_array_equal(refined, probs)


def faint(count: int, seed: int) -> ToyMaps:
    """The same discs, seen rightly but with too little confidence: one threshold mends all there is to mend."""
    pairs = smeared(count, seed, 32).pairs
    return ToyMaps((sample, np.where(sample.mask, 0.35, 0.1).astype(np.float32)) for sample, _ in pairs)


def test_where_the_threshold_is_all_there_is_to_gain_it_is_the_refiner_threshold(tmp_path: Path) -> None:
    refiner, threshold = miniature(), Threshold()
    refiner.fit(faint(8, seed=1), tmp_path / "fast")
    threshold.fit(faint(8, seed=1), tmp_path / "threshold")
    sample, _ = faint(1, seed=2)[0]
    probs = np.random.default_rng(0).random(sample.mask.shape, dtype=np.float32)
    (refined,), (expected,) = refiner.refine([sample.image], [probs]), threshold.refine([sample.image], [probs])
    np.testing.assert_array_equal(refined, expected)
    assert not np.array_equal(refined, probs)
    with safe_open(tmp_path / "fast" / "weights.safetensors", framework="pt") as file:
        said = file.metadata()["chosen"]
    assert said.startswith("val mIoU of base 0.00, threshold 9") and said.endswith("it is the threshold")


def test_a_val_image_is_refined_unseen_by_what_does_not_change_with_its_truth(tmp_path: Path) -> None:
    """The truth of one image is turned into noise: every head changes but the one that has not seen it."""
    val = biased(12, seed=1)
    other = ToyMaps(
        (dataclasses.replace(sample, mask=~sample.mask) if sample.id == "5" else sample, probs)
        for sample, probs in val.pairs
    )
    found = []
    for name, pairs in (("one", val), ("other", other)):
        refiner = miniature(epochs=2)
        refiner.fit(pairs, tmp_path / name)
        refiner._fitted().strength.fill_(1)  # whatever val chose: the heads are compared
        found.append((refiner.refine_unseen(pairs, 5), refiner.refine([pairs[5][0].image], [pairs[5][1]])[0]))
    (unseen, seen), (unseen_too, seen_too) = found
    np.testing.assert_array_equal(unseen, unseen_too)
    assert np.abs(seen - seen_too).max() > 1e-4


def test_a_correction_moves_logits_and_none_moves_nothing() -> None:
    maps = torch.tensor([0.0, 0.2, 0.5, 1.0])
    assert corrected([maps], torch.zeros(4)).tolist() == pytest.approx(maps.tolist(), abs=1e-7)
    moved = corrected([maps], torch.tensor([9.0, 1.0, -1.0, -9.0]))
    expected = [1 / (1 + np.exp(-z)) for z in (9 - CONFIDENT, np.log(0.25) + 1, -1, CONFIDENT - 9)]
    assert moved.tolist() == pytest.approx(expected, abs=1.01 / (1 + np.exp(CONFIDENT)))


@given(st.floats(0.01, 0.99), arrays(np.float32, (4, 5), elements=st.floats(0, 1, width=32)))
def test_a_shift_is_the_refiner_thresholds_remap(threshold: float, probs: np.ndarray) -> None:
    found = shifted(torch.from_numpy(probs).double(), threshold).numpy()
    np.testing.assert_allclose(found, remap(probs, threshold), atol=1e-6)


@given(st.floats(0, 1), st.integers(1, 8), st.integers(1, 8))
def test_more_heads_are_trusted_more_by_the_odds(strength: float, heads: int, others: int) -> None:
    found = strength_of(torch.tensor(strength, dtype=torch.float64), heads, others).item()
    if strength == 1:
        assert found == 1
    else:
        # In exact fractions: near 1, the odds of a float are mostly its rounding.
        odds = Fraction(strength) / (1 - Fraction(strength)) * others / heads
        assert found == pytest.approx(float(odds / (1 + odds)), rel=1e-12, abs=1e-300)


def test_cells_are_unshuffled_pixels_and_a_convolution_of_them() -> None:
    with seeded(0):
        cells, maps = Cells(3, 5).double(), torch.rand(2, 3, 3 * CELL, 2 * CELL, dtype=torch.float64)
    found, plain = cells(maps), F.conv2d(F.pixel_unshuffle(maps, CELL), cells.weight)
    torch.testing.assert_close(found, plain)
    (own,), (theirs,) = (torch.autograd.grad(output.square().sum(), (cells.weight,)) for output in (found, plain))
    torch.testing.assert_close(own, theirs)


@pytest.mark.parametrize("between", [nn.Identity(), nn.ReLU()])
def test_an_encoder_that_cannot_be_folded_is_noticed(between: nn.Module) -> None:
    class Encoder(nn.Module):
        out_channels = (3, 4, 4, 4, 4, 4)

        def __init__(self) -> None:
            super().__init__()
            self.convolve, self.norm, self.between = nn.Conv2d(3, 4, 8, stride=8), nn.BatchNorm2d(4), between
            nn.init.normal_(self.norm.weight)

        def forward(self, pixels: Tensor) -> list[Tensor]:
            features = self.norm(self.between(self.convolve(pixels)))
            levels = [features, F.avg_pool2d(features, 2), F.avg_pool2d(features, 4)]
            return [pixels, pixels, pixels, *levels]

    with seeded(0), torch.no_grad():
        network = FastNetwork(Encoder(), width=4, heads=2).eval()
        assert same_features(folded(network), network, 32) == isinstance(between, nn.Identity)


def test_bfloat16_says_nearly_the_same(tmp_path: Path) -> None:
    exact = miniature()
    exact.fit(biased(8, seed=1), tmp_path)
    rounded = PrnFast(weights=tmp_path / "weights.safetensors", precision="bf16")
    for refiner in (exact, rounded):
        refiner._fitted().strength.fill_(1)  # whatever val chose
    test = biased(4, seed=2)
    pairs = zip(rounded.refine(test.images, test.maps), exact.refine(test.images, test.maps), strict=True)
    differences = [np.abs(found - wanted).max() for found, wanted in pairs]
    assert min(differences) > 0 and max(differences) < 0.02


def test_saturated_maps_have_bounded_logits() -> None:
    found = bounded_logits(torch.tensor([0.0, 1.0, 0.5, 0.9]))
    assert found.tolist() == pytest.approx([-CONFIDENT, CONFIDENT, 0, np.log(9)], abs=1e-3)


def test_the_loss_against_hand_arithmetic() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.0, 3.0]])[:, None, None]
    truth = torch.tensor([[1.0, 0.0], [0.0, 1.0]])[:, None, None]
    p = 1 / (1 + np.exp(-np.array([[2.0, -1.0], [0.0, 3.0]])))
    bce = -np.log([p[0, 0], 1 - p[0, 1], 1 - p[1, 0], p[1, 1]]).mean()
    ious = [(p[0, 0] + 1) / (p[0, 0] + p[0, 1] + 1 - p[0, 0] + 1), (p[1, 1] + 1) / (p[1].sum() + 1 - p[1, 1] + 1)]
    assert bce_iou(logits, truth).item() == pytest.approx(bce + 1 - np.mean(ious), rel=1e-6)


def test_what_does_not_fit_is_the_users_to_fix(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"prn-fast\[size=40\].*multiple of 32"):
        PrnFast(size=40)
    with pytest.raises(UserError, match=r"heads is 1.*prn-fast\[heads=1\].*2 or more"):
        PrnFast(heads=1)
    with pytest.raises(UserError, match=r"val has 1 image"):
        miniature().fit(smeared(1, seed=0), tmp_path)
    with pytest.raises(UserError, match=r"no such encoder"):
        PrnFast(encoder="resnet1").fit(smeared(4, seed=0), tmp_path)


@pytest.mark.slow
def test_the_exported_network_computes_what_refine_does(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    refiner = miniature()
    refiner.fit(smeared(6, seed=1), tmp_path)
    refiner.export_onnx(tmp_path / "fast.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "fast.onnx")
    rng = np.random.default_rng(0)
    image, probs = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8), rng.random((32, 32), dtype=np.float32)
    inputs = {"image": image.transpose(2, 0, 1)[None].astype(np.float32), "map": probs[None, None]}
    (found,) = session.run(["refined"], inputs)
    np.testing.assert_allclose(found[0, 0], refiner.refine([image], [probs])[0], atol=1e-4)
