from __future__ import annotations

import math
from inspect import signature
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.special import expit, logit

pytest.importorskip("pydensecrf", reason="the densecrf extra is not installed")

from pydensecrf.densecrf import DenseCRF2D
from pydensecrf.utils import unary_from_softmax

from bench.contracts import Span, UserError
from bench.images import read_image, read_mask, resize
from bench.refiners.densecrf import DenseCrf


@pytest.fixture
def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An image with a bright square, its mask, and a noisy map of it."""
    draw = np.random.default_rng(0)
    mask = np.zeros((40, 50), np.bool_)
    mask[10:30, 15:35] = True
    image = np.dstack([np.where(mask, 210, 40)] * 3).astype(np.uint8)
    probs = np.clip(np.where(mask, 0.65, 0.35) + draw.normal(0, 0.2, mask.shape), 0, 1).astype(np.float32)
    return image, mask, probs


DEFAULTS = {"sxy": 1.0, "compat": 3.0}, {"sxy": 67.0, "srgb": 3.0, "compat": 4.0}, 10
OTHERS = {"sxy": 2.0, "compat": 4.0}, {"sxy": 30.0, "srgb": 9.0, "compat": 7.0}, 3


def by_hand(
    image: np.ndarray, probs: np.ndarray, gaussian: dict[str, float], bilateral: dict[str, float], iterations: int
) -> np.ndarray:
    """What pydensecrf's own example does, with its own helper for the unary energy."""
    height, width = probs.shape
    foreground = probs.clip(1e-6, 1 - 1e-6)
    field = DenseCRF2D(width, height, 2)
    field.setUnaryEnergy(unary_from_softmax(np.stack([1 - foreground, foreground]), clip=None))
    field.addPairwiseGaussian(**gaussian)
    field.addPairwiseBilateral(rgbim=image, **bilateral)
    return np.array(field.inference(iterations))[1].reshape(height, width)


def refiner_of(gaussian: dict[str, float], bilateral: dict[str, float], iterations: int) -> DenseCrf:
    return DenseCrf(
        iterations=iterations,
        gaussian_sxy=gaussian["sxy"],
        gaussian_compat=gaussian["compat"],
        bilateral_sxy=bilateral["sxy"],
        bilateral_srgb=bilateral["srgb"],
        bilateral_compat=bilateral["compat"],
    )


def test_it_equals_pydensecrf_on_50_real_images(data: Path) -> None:
    draw, changed = np.random.default_rng(0), 0
    for number, file in enumerate(sorted((data / "ecssd" / "images").iterdir())[:1000:20]):
        mask = read_mask(data / "ecssd" / "masks" / f"{file.stem}.png")
        image, truth = (resize(array, 90 + number % 7, 110) for array in (read_image(file), mask.astype(np.float32)))
        noise = cv2.GaussianBlur(draw.normal(0, 1.2, truth.shape), (0, 0), 3)
        probs = np.clip(cv2.GaussianBlur(truth, (0, 0), 3) + noise, 0, 1).astype(np.float32)
        settings = OTHERS if number % 2 else DEFAULTS
        (refined,) = (DenseCrf() if settings is DEFAULTS else refiner_of(*settings)).refine([image], [probs])
        np.testing.assert_allclose(refined, by_hand(image, probs, *settings), rtol=0, atol=1e-6)
        changed += int(((refined >= 0.5) != (probs >= 0.5)).sum())
    assert number == 49 and changed > 1000


def test_temperature_softens_the_map_before_the_field(scene: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    image, _, probs = scene
    logits = logit(probs.astype(np.float64).clip(1e-6, 1 - 1e-6))
    for temperature in (0.5, 3.0):
        softened = expit(logits / temperature)
        (refined,) = DenseCrf(temperature=temperature).refine([image], [probs])
        np.testing.assert_allclose(refined, by_hand(image, softened, *DEFAULTS), rtol=0, atol=1e-5)
        (as_it_is,) = DenseCrf().refine([image], [probs])
        assert np.abs(refined - as_it_is).max() > 0.01


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


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (9, 1), (13, 5)])
@pytest.mark.parametrize("grey", [0, 200])
def test_small_and_constant_images(height: int, width: int, grey: int) -> None:
    image = np.full((height, width, 3), grey, np.uint8)
    probs = np.random.default_rng(1).random((height, width), dtype=np.float32)
    (refined,) = DenseCrf().refine([image], [probs])
    assert refined.shape == (height, width) and refined.dtype == np.float32
    assert refined.min() >= 0 and refined.max() <= 1  # and no NaN


def test_the_ends_of_the_search_space_work(scene: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    image, _, probs = scene
    parameters = signature(DenseCrf).parameters
    assert set(DenseCrf.search_space) == set(parameters)
    for name, span in DenseCrf.search_space.items():
        assert isinstance(span, Span) and span.low < parameters[name].default <= span.high
        assert all(type(end) is type(parameters[name].default) for end in (span.low, span.high))
    for end in ("low", "high"):
        values: dict[str, Any] = {name: getattr(span, end) for name, span in DenseCrf.search_space.items()}
        (refined,) = DenseCrf(**values).refine([image], [probs])
        assert refined.min() >= 0 and refined.max() <= 1


@pytest.mark.parametrize("name", [*DenseCrf.search_space])
@pytest.mark.parametrize("value", [-1, 0, math.nan, math.inf])
def test_parameters_out_of_range_are_refused(name: str, value: Any) -> None:
    if value == 0 and name.endswith("_compat"):
        DenseCrf(**{name: value})  # switches that kernel off
    else:
        with pytest.raises(UserError, match=rf"{name} is {value} \(densecrf\["):
            DenseCrf(**{name: value})


def test_without_kernels_the_map_stays(scene: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    image, _, probs = scene
    (refined,) = DenseCrf(gaussian_compat=0.0, bilateral_compat=0.0).refine([image], [probs])
    np.testing.assert_allclose(refined, probs, atol=1e-5)
