from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.contracts import Sample, UserError
from bench.refiners.calibration import Calibration, Isotonic, Logistic, Method, fit_isotonic, fit_logistic
from bench.refiners.threshold import Threshold
from tests.toys import Pair, ToyMaps

METHODS: tuple[Method, ...] = ("temperature", "platt", "isotonic")
SHAPE = (24, 31)


def distorted(slope: float = 2.5, offset: float = 0.8, count: int = 5, levels: int = 65535) -> ToyMaps:
    """Foreground drawn with probability sigmoid(z), but maps of sigmoid(slope * z + offset)."""
    draw = np.random.default_rng(4)

    def pair(index: int) -> Pair:
        logits = draw.normal(-0.3, 1.5, SHAPE)
        mask = draw.random(SHAPE) < sigmoid(logits)
        probs = np.rint(sigmoid(slope * logits + offset) * levels) / levels
        return Sample(str(index), np.zeros((*SHAPE, 3), np.uint8), mask), probs.astype(np.float32)

    return ToyMaps.drawn(pair, count)


def pixels(maps: ToyMaps) -> tuple[np.ndarray, np.ndarray]:
    """Every pixel's probability and truth, ``(N,)``."""
    probs = np.concatenate([probs.ravel() for probs in maps.maps]).astype(np.float64)
    return probs, np.concatenate([mask.ravel() for mask in maps.masks]).astype(np.float64)


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def logit(probs: np.ndarray) -> np.ndarray:
    """Of 16-bit probabilities: 0 and 1 taken half a step inwards."""
    probs = np.clip(probs, 0.5 / 65535, 1 - 0.5 / 65535)
    return np.log(probs / (1 - probs))


def nll(probs: np.ndarray, truth: np.ndarray) -> float:
    probs = np.clip(probs, 1e-6, 1 - 1e-6)
    return float(-np.where(truth > 0, np.log(probs), np.log(1 - probs)).mean())


def refined(refiner: Calibration, maps: ToyMaps) -> list[np.ndarray]:
    return refiner.refine(maps.images, maps.maps)


def fitted(method: Method, maps: ToyMaps, workdir: Path) -> Calibration:
    refiner = Calibration(method=method)
    refiner.fit(maps, workdir)
    return refiner


@pytest.mark.parametrize("method", METHODS)
def test_val_is_likelier_afterwards_and_the_fit_is_kept(method: Method, tmp_path: Path) -> None:
    maps = distorted()
    refiner = fitted(method, maps, tmp_path)
    probs, truth = pixels(maps)
    after = nll(np.concatenate([result.ravel() for result in refined(refiner, maps)]), truth)
    assert after < nll(probs, truth) - 0.1
    saved = json.loads((tmp_path / "calibration.json").read_text())["val_nll"]
    assert saved["after"] == pytest.approx(after, abs=1e-4) and saved["before"] == pytest.approx(
        nll(probs, truth), abs=1e-4
    )
    again = fitted(method, distorted(count=0), tmp_path)  # loads: there is nothing to learn from here
    for one, two, three in zip(
        refined(again, maps), refined(refiner, maps), refined(pickle.loads(pickle.dumps(refiner)), maps), strict=True
    ):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(three, two)


def test_the_temperature_is_that_of_a_dense_grid(tmp_path: Path) -> None:
    maps = distorted()
    probs, truth = pixels(maps)
    logits = logit(probs)
    grid = np.arange(0.5, 6, 0.002)
    best = grid[int(np.argmin([nll(sigmoid(logits / temperature), truth) for temperature in grid]))]
    curve = fitted("temperature", maps, tmp_path).curve
    assert isinstance(curve, Logistic) and curve.offset == 0
    assert 1 / curve.slope == pytest.approx(best, abs=0.002)


def test_platts_curve_is_that_of_a_dense_grid(tmp_path: Path) -> None:
    maps = distorted()
    probs, truth = pixels(maps)
    logits = logit(probs)
    grid = {
        (a, b): nll(sigmoid(a * logits + b), truth) for a in np.arange(0.3, 0.5, 0.01) for b in np.arange(-1, 1, 0.02)
    }
    slope, offset = min(grid, key=lambda pair: grid[pair])
    curve = fitted("platt", maps, tmp_path).curve
    assert isinstance(curve, Logistic)
    assert (curve.slope, curve.offset) == pytest.approx((slope, offset), abs=0.02)
    # What the maps were made with, turned around: logit = (z' - 0.8) / 2.5.
    assert (curve.slope, curve.offset) == pytest.approx((1 / 2.5, -0.8 / 2.5), abs=0.05)


def pooled(probs: np.ndarray, truth: np.ndarray) -> dict[float, float]:
    """Isotonic regression by hand, from single pixels: pool neighbours until the means rise."""
    blocks: list[tuple[float, int, list[float]]] = []
    for value in np.unique(probs):
        here = truth[probs == value]
        blocks.append((float(here.sum()), len(here), [float(value)]))
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            hits, count, values = blocks.pop()
            blocks[-1] = (blocks[-1][0] + hits, blocks[-1][1] + count, blocks[-1][2] + values)
    return {value: hits / count for hits, count, values in blocks for value in values}


def test_isotonic_is_what_pooling_single_pixels_gives(tmp_path: Path) -> None:
    maps = distorted(levels=51)  # 52 values, each of them a 16-bit code
    probs, truth = pixels(maps)
    expected = pooled(probs, truth)
    assert len(set(expected.values())) > 5
    results = refined(fitted("isotonic", maps, tmp_path), maps)
    for coarse, result in zip(maps.maps, results, strict=True):
        np.testing.assert_allclose(result, [[expected[float(p)] for p in row] for row in coarse], atol=1e-6)


def test_every_image_weighs_the_same(tmp_path: Path) -> None:
    """A small image of foreground and a large one of background, both of probability 0.3: one half."""
    maps = ToyMaps([])
    for side, truth in ((2, True), (20, False)):
        mask = np.full((side, side), truth)
        probs = np.full((side, side), 0.3, np.float32)
        maps.pairs.append((Sample(str(side), np.zeros((side, side, 3), np.uint8), mask), probs))
    (result, _) = refined(fitted("isotonic", maps, tmp_path), maps)
    np.testing.assert_allclose(result, 0.5)


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=30), st.floats(0.01, 100), st.floats(-20, 20))
def test_curves_rise_within_0_and_1(values: list[float], slope: float, offset: float) -> None:
    probs = np.sort(np.array([values], np.float32), axis=1)
    probs.setflags(write=False)
    image = np.zeros((1, len(values), 3), np.uint8)
    refiner = Calibration()
    for curve in (Logistic(slope, offset), Isotonic((0.1, 0.4, 0.5), (0.0, 0.4, 0.9)), Logistic(slope)):
        refiner.curve = curve
        (result,) = refiner.refine([image], [probs])
        assert result.dtype == np.float32 and result.shape == probs.shape
        assert result.min() >= 0 and result.max() <= 1 and (np.diff(result) >= 0).all()
    # The last one is a temperature: it cannot move the decision.
    np.testing.assert_array_equal(result >= 0.5, probs >= 0.5)


def test_one_half_parts_what_is_likelier_foreground(tmp_path: Path) -> None:
    """After isotonic regression no threshold has fewer wrong pixels on val than one half."""
    maps = distorted(levels=51)
    probs, truth = pixels(maps)
    wrong = min(((probs >= (k - 0.5) / 51) != truth).mean() for k in range(53))
    results = np.concatenate([result.ravel() for result in refined(fitted("isotonic", maps, tmp_path), maps)])
    assert ((results >= 0.5) != truth).mean() == pytest.approx(wrong)
    assert wrong < ((probs >= 0.5) != truth).mean()


def test_no_curve_beats_the_best_threshold(tmp_path: Path) -> None:
    maps = distorted()
    threshold = Threshold()
    threshold.fit(maps, tmp_path / "threshold")
    best = mean_iou(threshold.refine(maps.images, maps.maps), maps)
    for method in METHODS:
        assert mean_iou(refined(fitted(method, maps, tmp_path / method), maps), maps) <= best + 1e-12


def mean_iou(results: list[np.ndarray], maps: ToyMaps) -> float:
    pairs = [(result >= 0.5, mask) for result, mask in zip(results, maps.masks, strict=True)]
    return float(np.mean([(pred & mask).sum() / (pred | mask).sum() for pred, mask in pairs]))


@pytest.mark.parametrize("truth", [0.0, 1.0])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_maps_of_one_value_can_be_fitted(value: float, truth: float) -> None:
    pixels, foreground = np.zeros(65536), np.zeros(65536)
    pixels[round(value * 65535)] = 2
    foreground[round(value * 65535)] = 2 * truth
    image = np.zeros((1, 1, 3), np.uint8)
    refiner = Calibration()
    for curve in (
        fit_logistic(pixels, foreground, offset=False),
        fit_logistic(pixels, foreground, offset=True),
        fit_isotonic(pixels, foreground),
    ):
        refiner.curve = curve
        for probs in (0.0, 0.2, value, 1.0):
            (result,) = refiner.refine([image], [np.full((1, 1), probs, np.float32)])
            assert 0 <= result[0, 0] <= 1
    assert refiner.refine([image], [np.full((1, 1), value, np.float32)])[0][0, 0] == truth


def test_an_empty_val_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no maps"):
        Calibration().fit(distorted(count=0), tmp_path)
    assert not list(tmp_path.iterdir())
