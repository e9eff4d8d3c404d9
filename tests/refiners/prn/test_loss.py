"""The loss against NumPy arithmetic written from its definition, and at saturated logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from bench.refiners.prn.loss import FLOOR, boundary, boundary_strength, focal, prn_loss

LAPLACIAN = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def cross_entropy(probs: np.ndarray, target: np.ndarray) -> float:
    return float(-(target * np.log(probs) + (1 - target) * np.log(1 - probs)).mean())


def strength(probs: np.ndarray) -> np.ndarray:
    edges = [ndimage.correlate(image[0], LAPLACIAN, mode="nearest") for image in probs]
    return np.abs(np.tanh(np.stack(edges)))[:, None]


def by_hand(logits: np.ndarray, pseudo: np.ndarray, truth: np.ndarray, alpha: float, gamma: float) -> float:
    probs = sigmoid(logits)
    right = np.where(pseudo == 1, probs, 1 - probs)
    on_pseudo = (-((1 - right) ** gamma) * np.log(right)).mean()
    on_pseudo += cross_entropy(np.clip(strength(probs), FLOOR, 1 - FLOOR), strength(pseudo))
    return float(alpha * on_pseudo + (1 - alpha) * cross_entropy(probs, truth))


@pytest.fixture
def case() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    shape = (3, 1, 9, 7)
    whole, local = rng.normal(0, 3, shape), rng.normal(0, 1, shape)
    return whole, local, (rng.random(shape) < 0.4).astype(float), (rng.random(shape) < 0.4).astype(float)


@pytest.mark.parametrize(("alpha", "gamma"), [(0.7, 2.0), (0.0, 2.0), (1.0, 0.0), (0.4, 3.5)])
def test_the_whole_loss(
    case: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], alpha: float, gamma: float
) -> None:
    whole, local, pseudo, truth = case
    tensors = [torch.from_numpy(array) for array in case]
    found = prn_loss((tensors[0], tensors[1]), tensors[2], tensors[3], alpha, gamma)
    expected = by_hand(whole, pseudo, truth, alpha, gamma) + by_hand(local, pseudo, truth, alpha, gamma)
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_focal_without_gamma_is_cross_entropy(case: tuple[np.ndarray, ...]) -> None:
    whole, _, pseudo, _ = case
    found = focal(torch.from_numpy(whole), torch.from_numpy(pseudo), 0.0)
    assert found.item() == pytest.approx(cross_entropy(sigmoid(whole), pseudo), rel=1e-9)


def test_boundary_strength_of_a_dot_and_of_an_object_that_leaves_the_image() -> None:
    dot = torch.zeros(1, 1, 5, 5)
    dot[0, 0, 2, 2] = 1
    found = boundary_strength(dot)[0, 0]
    assert found[2].tolist() == pytest.approx([0, np.tanh(1), np.tanh(4), np.tanh(1), 0])
    half = torch.zeros(1, 1, 4, 4)
    half[..., 2:] = 1
    assert boundary_strength(half)[0, 0].tolist() == [pytest.approx([0, np.tanh(1), np.tanh(1), 0])] * 4


def test_the_boundary_term_is_least_at_the_target() -> None:
    target = torch.zeros(1, 1, 16, 16)
    target[..., 4:12, 4:12] = 1
    logits = 12 * target - 6
    shifted = torch.roll(logits, 2, dims=-1)
    assert boundary(logits, target) < boundary(shifted, target)


@pytest.mark.parametrize("size", [30.0, 1e3, 1e30])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_saturated_logits_keep_the_loss_and_its_gradient_finite(size: float, gamma: float) -> None:
    signs = torch.tensor([[1.0, -1.0, 0.0], [-1.0, 1.0, 1.0], [1.0, 1.0, -1.0]])[None, None]
    target = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 1.0]])[None, None]
    logits = (signs * size).requires_grad_()
    loss = prn_loss((logits, logits), target, 1 - target, 0.7, gamma)
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("terms", [("focal",), ("boundary",), ("truth",), ("focal", "truth")])
def test_terms_are_summed_with_the_weights_they_have_in_the_whole(
    case: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], terms: tuple[str, ...]
) -> None:
    whole, _, pseudo, truth = case
    probs = sigmoid(whole)
    right = np.where(pseudo == 1, probs, 1 - probs)
    parts = {
        "focal": 0.7 * (-((1 - right) ** 2) * np.log(right)).mean(),
        "boundary": 0.7 * cross_entropy(np.clip(strength(probs), FLOOR, 1 - FLOOR), strength(pseudo)),
        "truth": 0.3 * cross_entropy(probs, truth),
    }
    tensors = [torch.from_numpy(array) for array in (whole, pseudo, truth)]
    found = prn_loss(tensors[:1], tensors[1], tensors[2], 0.7, 2.0, terms)
    assert found.item() == pytest.approx(sum(parts[term] for term in terms), rel=1e-9)
