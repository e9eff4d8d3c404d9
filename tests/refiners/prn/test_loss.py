"""The loss against NumPy arithmetic written from its definition, and at saturated logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from bench.contracts import UserError
from bench.refiners.prn import PatchRefineNet
from bench.refiners.prn.loss import EPSILON, boundary, boundary_strength, focal, prn_loss
from bench.refiners.prn.multiclass_refiner import MulticlassPrn
from bench.refiners.prn.released_refiner import PrnReleased

LAPLACIAN = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


def cross_entropy(probs: np.ndarray, target: np.ndarray) -> float:
    return float(-(target * np.log(probs) + (1 - target) * np.log(1 - probs)).mean())


def strength(probs: np.ndarray) -> np.ndarray:
    edges = [ndimage.correlate(image[0], LAPLACIAN, mode="nearest") for image in probs]
    return np.abs(np.tanh(np.stack(edges)))[:, None]


def by_hand(
    logits: np.ndarray, pseudo: np.ndarray, truth: np.ndarray, alpha: float, gamma: float, floor: float = 0.0
) -> float:
    probs = sigmoid(logits)
    right = np.where(pseudo == 1, probs, 1 - probs)
    on_pseudo = (-((1 - right) ** gamma) * np.log(right)).mean()
    on_pseudo += cross_entropy(np.clip(strength(probs), floor, 1 - floor), strength(pseudo))
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
    held = prn_loss((tensors[0], tensors[1]), tensors[2], tensors[3], alpha, gamma, floor=0.1)
    expected = sum(by_hand(logits, pseudo, truth, alpha, gamma, 0.1) for logits in (whole, local))
    assert held.item() == pytest.approx(expected, rel=1e-9)


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


def boundary_gradient(logits: torch.Tensor, target: torch.Tensor, **floor: float) -> tuple[float, np.ndarray]:
    """The boundary term and its gradient with respect to the logits."""
    leaf = logits.clone().requires_grad_()
    loss = boundary(leaf, target, **floor)
    loss.backward()
    assert leaf.grad is not None
    return loss.item(), leaf.grad.numpy()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 5), st.integers(2, 12), st.integers(2, 12))
def test_the_default_boundary_term_is_the_papers_without_a_floor(
    seed: int, spread: float, high: int, wide: int
) -> None:
    rng = np.random.default_rng(seed)
    logits, target = rng.normal(0, spread, (2, 1, high, wide)), (rng.random((2, 1, high, wide)) < 0.4).astype(float)
    probs, wanted = sigmoid(logits), strength(target)

    def laplacian(maps: np.ndarray) -> np.ndarray:
        return np.stack([ndimage.correlate(image[0], LAPLACIAN, mode="nearest") for image in maps])[:, None]

    edges = laplacian(probs)
    predicted = np.abs(np.tanh(edges))
    slope = (predicted - wanted) / (predicted * (1 - predicted)) * (1 - predicted**2) * np.sign(edges) / edges.size
    # With a replicated border a pixel counts in its neighbour's Laplacian as the neighbour does in its own.
    expected = laplacian(slope) * probs * (1 - probs)
    loss, gradient = boundary_gradient(torch.from_numpy(logits), torch.from_numpy(target))
    assert predicted.min() > EPSILON
    assert loss == pytest.approx(cross_entropy(predicted, wanted), rel=1e-9)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize(("floor", "least", "most"), [(EPSILON, EPSILON, 1.0), (0.1, 0.1, 0.9)])
def test_strengths_outside_the_floor_alone_get_no_gradient(floor: float, least: float, most: float) -> None:
    rng = np.random.default_rng(2)
    # A rough half, a faint slope and a flat part.
    logits = rng.normal(0, 3, (1, 1, 24, 36))
    logits[..., 12:] = np.linspace(0, 1, 24) ** 2
    logits[..., 24:] = 4
    target = (rng.random(logits.shape) < 0.3).astype(float)
    found = strength(sigmoid(logits))
    learning = (least <= found) & (found <= most)
    assert 0.05 < learning.mean() < 0.95
    if floor == EPSILON:
        np.testing.assert_array_equal(learning, found > 1e-12)  # all but the flat part, where rounding is left
    # A pixel's logit is in its own strength and in those of its four neighbours.
    reached = ndimage.binary_dilation(learning[0, 0], ndimage.generate_binary_structure(2, 1))
    _, gradient = boundary_gradient(torch.from_numpy(logits), torch.from_numpy(target), floor=floor)
    np.testing.assert_array_equal(gradient[0, 0] != 0, reached)
    if floor == EPSILON:
        _, default = boundary_gradient(torch.from_numpy(logits), torch.from_numpy(target))
        np.testing.assert_array_equal(gradient, default)


@pytest.mark.parametrize("size", [0.0, 1e-6, 50.0, 1e4])
@pytest.mark.parametrize("flat", [True, False])
def test_the_papers_form_is_finite_on_flat_and_on_extreme_maps(size: float, flat: bool) -> None:
    rng = np.random.default_rng(3)
    signs = np.ones((1, 1, 16, 16)) if flat else rng.choice([-1.0, 1.0], (1, 1, 16, 16))
    target = torch.from_numpy((rng.random(signs.shape) < 0.5).astype(np.float32))
    for logits in (signs * size, -signs * size):
        loss, gradient = boundary_gradient(torch.from_numpy(logits.astype(np.float32)), target)
        assert np.isfinite(loss)
        assert np.isfinite(gradient).all()
        assert gradient.dtype == np.float32


@pytest.mark.parametrize("floor", [0.0, -0.1, 0.5, 1.0, float("nan"), float("inf")])
def test_wrong_floors_are_refused(floor: float) -> None:
    for make in (
        lambda: PatchRefineNet(size=32, floor=floor),
        lambda: PrnReleased(size=64, floor=floor),
        lambda: MulticlassPrn(3, size=32, patch=8, width=4, floor=floor),
    ):
        with pytest.raises(UserError, match=rf"floor is {floor}.*floor=.*more than 0 and less than 0\.5"):
            make()


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
        "boundary": 0.7 * cross_entropy(strength(probs), strength(pseudo)),
        "truth": 0.3 * cross_entropy(probs, truth),
    }
    tensors = [torch.from_numpy(array) for array in (whole, pseudo, truth)]
    found = prn_loss(tensors[:1], tensors[1], tensors[2], 0.7, 2.0, terms)
    assert found.item() == pytest.approx(sum(parts[term] for term in terms), rel=1e-9)
