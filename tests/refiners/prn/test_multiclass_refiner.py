"""PRN of three classes in miniature: it learns what a patch-wise biased map needs, and comes back the same."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from bench.contracts import UserError
from bench.refiners.prn.multiclass_refiner import MulticlassPrn
from bench.refiners.prn.network import PrnNetwork
from bench.training import seeded

SIDE = 40
Case = tuple[list[np.ndarray], list[np.ndarray]]


def biased(count: int, seed: int) -> Case:
    """Discs of classes 1 and 2 on 0, in maps whose logits are shifted by an amount that depends on the quadrant."""
    probs, labels = [], []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        truth = np.zeros((SIDE, SIDE), np.uint8)
        for place, (x, y) in enumerate(rng.integers(6, SIDE - 6, (4, 2)).tolist()):
            cv2.circle(truth, (x, y), int(rng.integers(4, 8)), 1 + place % 2, -1)
        regions = np.stack([truth == which for which in range(3)]).astype(np.float64)
        logits = np.stack([5 * cv2.GaussianBlur(region, (0, 0), 2) for region in regions])
        signs = np.kron([[-1, 1], [1, -1]], np.ones((SIDE // 2, SIDE // 2)))
        powers = np.exp(logits + 2 * np.stack([0 * signs, signs, -signs]))
        probs.append((powers / powers.sum(axis=0)).astype(np.float32))
        labels.append(truth.astype(np.int64))
    return probs, labels


def miniature(*, epochs: int = 1, seed: int = 0) -> MulticlassPrn:
    return MulticlassPrn(3, size=32, patch=16, width=4, epochs=epochs, lr=4e-3, seed=seed)


def mean_iou(maps: list[np.ndarray], labels: list[np.ndarray]) -> float:
    scores = []
    for probs, truth in zip(maps, labels, strict=True):
        pred = probs.argmax(axis=0)
        unions = [((pred == c) | (truth == c)).sum() for c in range(3)]
        scores += [((pred == c) & (truth == c)).sum() / union for c, union in enumerate(unions) if union]
    return float(np.mean(scores))


def test_a_second_object_loads_what_the_first_one_learned(tmp_path: Path) -> None:
    prn = miniature(epochs=2)
    maps, labels = biased(12, seed=1)
    before = prn.refine(maps[0])
    prn.fit(maps, labels, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} - {"tensorboard"} == {"training.csv", "weights.safetensors"}
    after = prn.refine(maps[0])
    assert not np.array_equal(before, after)
    again = miniature(epochs=2, seed=1)
    again.fit(maps, labels, tmp_path)
    np.testing.assert_array_equal(again.refine(maps[0]), after)


@pytest.mark.slow
def test_it_beats_the_maps(tmp_path: Path) -> None:
    prn = MulticlassPrn(3, size=32, patch=16, width=8, epochs=12, floor=0.1, lr=4e-3)
    prn.fit(*biased(32, seed=1), tmp_path)
    maps, labels = biased(16, seed=2)
    assert mean_iou([prn.refine(probs) for probs in maps], labels) > mean_iou(maps, labels) + 0.03


@pytest.mark.parametrize("shape", [(32, 32), (17, 90), (100, 33)])
def test_a_pixels_probabilities_add_up_to_one_at_the_maps_own_size(shape: tuple[int, int]) -> None:
    probs = np.random.default_rng(0).dirichlet(np.ones(3), shape).transpose(2, 0, 1).astype(np.float32)
    kept = probs.copy()
    prn = miniature()
    refined = prn.refine(probs)
    assert refined.shape == probs.shape
    assert refined.dtype == np.float32
    assert refined.min() >= 0
    np.testing.assert_allclose(refined.sum(axis=0), 1, atol=1e-6)
    np.testing.assert_array_equal(probs, kept)


def test_seeds_decide(tmp_path: Path) -> None:
    maps, labels = biased(5, seed=3)
    results = []
    for run, seed in enumerate((0, 0, 1)):
        prn = miniature(seed=seed)
        prn.fit(maps, labels, tmp_path / str(run))
        results.append(prn.refine(maps[0]))
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_the_network_takes_and_gives_a_channel_a_class() -> None:
    with seeded(0):
        one, three = PrnNetwork(32, 16, 4), PrnNetwork(32, 16, 4, classes=3)
    assert [tuple(logits.shape) for logits in three(torch.rand(2, 3, 32, 32))] == [(2, 3, 32, 32)] * 2
    sizes = [{name: tuple(value.shape) for name, value in each.state_dict().items()} for each in (one, three)]
    changed = {name for name in sizes[0] if sizes[0][name] != sizes[1][name]}
    assert sizes[0].keys() == sizes[1].keys()
    assert changed == {
        "encoder.stem.0.weight",
        *(f"{branch}.head.{part}" for branch in ("whole", "local") for part in ("weight", "bias")),
    }


def test_what_the_user_can_fix(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="1 class"):
        MulticlassPrn(1)
    maps, labels = biased(2, seed=0)
    with pytest.raises(UserError, match="2 maps and 1 labels"):
        miniature().fit(maps, labels[:1], tmp_path)
    with pytest.raises(UserError, match="empty"):
        miniature().fit([], [], tmp_path)


@pytest.mark.parametrize(
    ("maps", "labels"),
    [
        (np.zeros((2, 8, 8), np.float32), np.zeros((8, 8), int)),
        (np.zeros((3, 8, 8), np.float32), np.zeros((8, 9), int)),
        (np.zeros((3, 8, 8), np.float32), np.full((8, 8), 3)),
        (np.zeros((3, 8, 8), np.float32), np.full((8, 8), -1)),
    ],
)
def test_maps_and_labels_that_do_not_fit_are_refused(maps: np.ndarray, labels: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="need"):
        miniature().fit([maps], [labels], tmp_path)
