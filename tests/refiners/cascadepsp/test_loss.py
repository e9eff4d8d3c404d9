from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from bench.refiners.cascadepsp.loss import cascade_loss, edges


def gradient(values: np.ndarray) -> np.ndarray:
    """The published edge map of one ``(H, W)``, by scipy."""
    smooth = correlate(values, np.full((3, 3), 1 / 9), mode="constant")
    sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
    across, down = correlate(smooth, sobel, mode="constant"), correlate(smooth, sobel.T, mode="constant")
    return np.sqrt(across**2 + down**2 + 1e-4)


def test_the_loss_is_the_published_one() -> None:
    draw = np.random.default_rng(0)
    # Section 5's order, and its rows of weights.
    order = ("out_224", "out_28", "out_56", "out_28_2", "out_28_3", "out_56_2")
    entropies, distances = (0, 1, 0.5, 1, 1, 0.5), (1, 0, 0.25, 0, 0, 0.25)
    logits = {name: draw.normal(0, 2, (2, 1, 16, 24)) for name in order}
    truth = (draw.random((2, 1, 16, 24)) < 0.4).astype(np.float64)
    expected = 0.0
    for name, entropy, distance in zip(order, entropies, distances, strict=True):
        probs = 1 / (1 + np.exp(-logits[name]))
        expected -= entropy * np.mean(truth * np.log(probs) + (1 - truth) * np.log(1 - probs))
        expected += distance * (np.mean(np.abs(probs - truth)) + np.mean((probs - truth) ** 2))
    last = 1 / (1 + np.exp(-logits["out_224"]))
    expected += 5 * np.mean([np.abs(gradient(last[i, 0]) - gradient(truth[i, 0])) for i in range(2)])
    outputs = {name: torch.from_numpy(values).float() for name, values in logits.items()}
    found = cascade_loss({**outputs, "pred_224": torch.zeros(1)}, torch.from_numpy(truth).float())
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_a_flat_map_has_no_edges_inside() -> None:
    found = edges(torch.ones(1, 1, 9, 9))
    torch.testing.assert_close(found[..., 2:-2, 2:-2], torch.full((1, 1, 5, 5), 0.01))
    assert found[..., 0, 4].item() > 0.1
