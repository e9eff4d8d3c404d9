from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pydensecrf", reason="the densecrf extra is not installed")

from pydensecrf.densecrf import DenseCRF2D
from pydensecrf.utils import unary_from_softmax

from refiners.densecrf import DenseCrf


@pytest.fixture
def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An image with a bright square, its mask, and a noisy map of it."""
    draw = np.random.default_rng(0)
    mask = np.zeros((40, 50), np.bool_)
    mask[10:30, 15:35] = True
    image = np.dstack([np.where(mask, 210, 40)] * 3).astype(np.uint8)
    probs = np.clip(np.where(mask, 0.65, 0.35) + draw.normal(0, 0.2, mask.shape), 0, 1).astype(np.float32)
    return image, mask, probs


def test_it_equals_pydensecrf_called_by_hand(scene: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    image, _, probs = scene
    field = DenseCRF2D(50, 40, 2)
    field.setUnaryEnergy(unary_from_softmax(np.stack([1 - probs, probs]).clip(1e-6, 1 - 1e-6), clip=None))
    field.addPairwiseGaussian(sxy=2, compat=4)
    field.addPairwiseBilateral(sxy=30, srgb=9, rgbim=image, compat=7)
    expected = np.array(field.inference(3))[1].reshape(40, 50)
    refiner = DenseCrf(
        iterations=3, gaussian_sxy=2, gaussian_compat=4, bilateral_sxy=30, bilateral_srgb=9, bilateral_compat=7
    )
    (refined,) = refiner.refine([image], [probs])
    np.testing.assert_allclose(refined, expected, atol=1e-6)


def test_it_follows_the_image(scene: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    image, mask, probs = scene
    image.setflags(write=False)
    probs.setflags(write=False)
    (refined,) = DenseCrf().refine([image], [probs])
    assert refined.dtype == np.float32 and refined.min() >= 0 and refined.max() <= 1
    assert ((refined >= 0.5) != mask).mean() < 0.01 < ((probs >= 0.5) != mask).mean()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_saturated_maps_stay_finite(value: float) -> None:
    image = np.random.default_rng(0).integers(0, 255, (8, 9, 3), dtype=np.uint8)
    (refined,) = DenseCrf().refine([image], [np.full((8, 9), value, np.float32)])
    np.testing.assert_allclose(refined, value, atol=1e-3)
