from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.bases.parts.saliency_prior import Prior, SaliencyPrior

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def prior(rgb: np.ndarray, kind: Prior = "contrast") -> np.ndarray:
    """Of ``HxWx3`` in [0, 1]."""
    normalised = (rgb - np.array(MEAN)) / np.array(STD)
    image = torch.from_numpy(normalised.transpose(2, 0, 1)[None]).float()
    return SaliencyPrior(kind, MEAN, STD)(image)[0, 0].numpy()


def contrast(features: np.ndarray, places: np.ndarray) -> np.ndarray:
    """G of ``N x F`` features at ``N x 2`` places, cell by cell, over its maximum."""
    values = []
    for feature, place in zip(features, places, strict=True):
        weights = np.exp(-((places - place) ** 2).sum(1) / (2 * 0.5**2))
        values.append((weights * ((features - feature) ** 2).sum(1)).sum() / weights.sum())
    return np.array(values) / max(values)


def test_a_side_of_32_is_the_formula_at_every_pixel() -> None:
    # One pixel a cell: no averages and no interpolation.
    rgb = np.random.default_rng(0).random((32, 32, 3)) * np.linspace(0.2, 1, 32)[:, None, None]
    rows, columns = np.mgrid[:32, :32]
    places = (np.stack([rows.ravel(), columns.ravel()], 1) + 0.5) / 32
    grey = rgb.mean(2)
    down, right = np.gradient(grey)
    angle, strength = np.arctan2(down, right), np.hypot(down, right)
    orientation = np.stack([strength * np.cos(2 * angle), strength * np.sin(2 * angle)], 2)
    summed = sum(contrast(feature.reshape(1024, -1), places) for feature in (rgb, grey, orientation))
    centre = np.array([math.exp(-((row - 0.5) ** 2 + (column - 0.5) ** 2) / (2 / 9)) for row, column in places])
    expected = (centre / (1 + np.exp(-summed))).reshape(32, 32)
    np.testing.assert_allclose(prior(rgb), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(prior(rgb, "centre"), centre.reshape(32, 32), rtol=0, atol=1e-6)


def test_what_stands_out_stands_out() -> None:
    rgb = np.full((96, 96, 3), 0.3)
    rgb[21:33, 60:72] = (0.9, 0.1, 0.1)
    ratio = prior(rgb) / prior(rgb, "centre")
    assert ratio[24:30, 63:69].min() > 0.85  # sigmoid of 1 + 1 + something
    assert ratio[60:, :].max() < ratio[24:30, 63:69].min() - 0.2


@pytest.mark.parametrize("kind", ["contrast", "centre", "none"])
@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_an_image_without_contrast_has_a_finite_prior(kind: Prior, fill: float) -> None:
    centre = prior(np.full((64, 64, 3), fill), "centre")
    factor = {"contrast": 0.5, "centre": 1.0, "none": 0.0}[kind]
    np.testing.assert_allclose(prior(np.full((64, 64, 3), fill), kind), factor * centre, rtol=0, atol=0.02)


def test_a_batch_is_its_images_and_takes_no_gradient() -> None:
    images: Tensor = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    network = SaliencyPrior("contrast", MEAN, STD)
    batch = network(images)
    assert batch.shape == (3, 1, 64, 64)
    assert not batch.requires_grad
    for image, expected in zip(images, batch, strict=True):
        torch.testing.assert_close(network(image[None])[0], expected)
    torch.testing.assert_close(network(images.flip(-1)), batch.flip(-1))
    assert not list(network.state_dict())


def test_autocast_changes_nothing() -> None:
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    network = SaliencyPrior("contrast", MEAN, STD)
    with torch.autocast("cpu", torch.bfloat16):
        low = network(image)
    torch.testing.assert_close(low, network(image), rtol=0, atol=0)
