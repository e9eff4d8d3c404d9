"""The loss of several classes: the binary one for two, NumPy arithmetic for three, and saturated logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from bench.refiners.prn.loss import prn_loss
from bench.refiners.prn.multiclass_loss import multiclass_loss

LAPLACIAN = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])


@pytest.mark.parametrize("floor", [1e-7, 0.1])
@pytest.mark.parametrize(("alpha", "gamma"), [(0.7, 2.0), (0.0, 2.0), (1.0, 0.0), (0.4, 0.5)])
def test_two_classes_are_the_binary_loss_of_the_logits_difference(alpha: float, gamma: float, floor: float) -> None:
    rng = np.random.default_rng(0)
    branches = [torch.from_numpy(rng.normal(0, 2, (3, 2, 9, 7))) for _ in range(2)]
    pseudo, truth = (torch.from_numpy(rng.integers(0, 2, (3, 9, 7))) for _ in range(2))
    found = multiclass_loss(branches, pseudo, truth, alpha, gamma, floor)
    binary = [logits[:, 1:] - logits[:, :1] for logits in branches]
    maps = pseudo[:, None].double(), truth[:, None].double()
    expected = prn_loss((binary[0], binary[1]), *maps, alpha, gamma, floor=floor)
    assert found.item() == pytest.approx(expected.item(), rel=1e-9)


def by_hand(logits: np.ndarray, pseudo: np.ndarray, truth: np.ndarray, alpha: float, gamma: float) -> float:
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    regions = np.stack([pseudo == which for which in range(logits.shape[1])], axis=1).astype(float)

    def of(target: np.ndarray) -> np.ndarray:
        return np.take_along_axis(probs, target[:, None], axis=1)

    def strength(maps: np.ndarray) -> np.ndarray:
        edges = [[ndimage.correlate(channel, LAPLACIAN, mode="nearest") for channel in image] for image in maps]
        return np.abs(np.tanh(np.array(edges)))

    predicted, wanted = strength(probs), strength(regions)
    boundary = -(wanted * np.log(predicted) + (1 - wanted) * np.log(1 - predicted)).mean()
    focal = -((1 - of(pseudo)) ** gamma * np.log(of(pseudo))).mean()
    return float(alpha * (focal + boundary) - (1 - alpha) * np.log(of(truth)).mean())


def test_three_classes_by_hand() -> None:
    rng = np.random.default_rng(1)
    branches = [rng.normal(0, 2, (2, 3, 8, 6)) for _ in range(2)]
    pseudo, truth = rng.integers(0, 3, (2, 2, 8, 6))
    tensors = [torch.from_numpy(logits) for logits in branches]
    found = multiclass_loss(tensors, torch.from_numpy(pseudo), torch.from_numpy(truth), 0.7, 2.0)
    assert found.item() == pytest.approx(sum(by_hand(each, pseudo, truth, 0.7, 2.0) for each in branches), rel=1e-9)


@pytest.mark.parametrize("size", [30.0, 1e3, 1e30])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_saturated_logits_keep_the_loss_and_its_gradient_finite(size: float, gamma: float) -> None:
    signs = torch.tensor([[1.0, -1.0, 0.0, 1.0], [-1.0, 1.0, 0.0, 1.0], [-1.0, -1.0, 0.0, -1.0]])
    logits = (size * signs.reshape(1, 3, 2, 2)).requires_grad_()
    target = torch.tensor([[[0, 0], [1, 2]]])
    loss = multiclass_loss([logits, logits], target, 2 - target, 0.7, gamma)
    loss.backward()
    assert torch.isfinite(loss)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
