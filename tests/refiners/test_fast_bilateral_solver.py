from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contracts import UserError
from bench.refiners.fast_bilateral_solver import FastBilateralSolver, bilateral_grid, solve

PALETTE = np.array([[200, 60, 40], [30, 90, 160], [120, 120, 120], [150, 150, 150], [140, 120, 100]], np.uint8)


def cells(image: np.ndarray, sides: tuple[float, ...]) -> list[tuple[int, ...]]:
    """The grid cell of each pixel, row by row, with JPEG's luma and chroma by its own formula."""
    found = []
    for y, row in enumerate(image.astype(float)):
        for x, (red, green, blue) in enumerate(row):
            luma = 0.299 * red + 0.587 * green + 0.114 * blue
            place = (y, x, luma, (red - luma) / 1.402 + 128, (blue - luma) / 1.772 + 128)
            found.append(tuple(int(value // side) for value, side in zip(place, sides, strict=True)))
    return found


def by_pixels(image: np.ndarray, target: np.ndarray, sides: tuple[float, ...], lam: float) -> np.ndarray:
    """The minimiser of the paper's Eq. 1 with every affinity between two pixels written out."""
    names = cells(image, sides)
    affinity = np.zeros((len(names), len(names)))
    for i, one in enumerate(names):
        for j, other in enumerate(names):
            steps = sorted(abs(a - b) for a, b in zip(one, other, strict=True))
            affinity[i, j] = 10 if steps == [0] * 5 else float(steps == [0, 0, 0, 0, 1])
    assert {0, 1, 10} == set(affinity.ravel())
    scale = np.ones(len(names))
    for _ in range(2000):
        scale = np.sqrt(scale / (affinity @ scale))
    affinity *= np.outer(scale, scale)
    np.testing.assert_allclose(affinity.sum(axis=0), 1, atol=1e-9)
    # Pixels of one cell share one value: x = cell_values[member].
    _, member = np.unique(np.array(names), axis=0, return_inverse=True)
    slicing = np.eye(member.max() + 1)[member.ravel()]
    values = target.ravel().astype(float)
    confidence = np.diag(np.maximum(np.abs(2 * values - 1), 1e-3))
    quadratic = lam * (np.eye(len(names)) - affinity) + confidence
    solved = np.linalg.solve(slicing.T @ quadratic @ slicing, slicing.T @ confidence @ values)
    return (slicing @ solved).reshape(target.shape)


@pytest.mark.parametrize("lam", [0.5, 20.0])
def test_it_minimises_the_objective_written_out_over_pairs_of_pixels(lam: float) -> None:
    draw = np.random.default_rng(0)
    image = PALETTE[draw.integers(0, len(PALETTE), (7, 9))]
    target = draw.random((7, 9), np.float32)
    refiner = FastBilateralSolver(sigma_spatial=2, sigma_luma=30, sigma_chroma=48, lam=lam)
    (refined,) = refiner.refine([image], [target])
    expected = by_pixels(image, target, (2, 2, 30, 48, 48), lam)
    np.testing.assert_allclose(refined, expected, atol=1e-5)


def test_it_follows_the_image() -> None:
    draw = np.random.default_rng(0)
    mask = np.zeros((60, 70), np.bool_)
    mask[15:45, 20:50] = True
    image = np.where(mask[..., None], PALETTE[0], PALETTE[1])
    probs = np.clip(np.where(mask, 0.65, 0.35) + draw.normal(0, 0.3, mask.shape), 0, 1).astype(np.float32)
    for array in (image, probs):
        array.setflags(write=False)
    refiner = FastBilateralSolver()
    (refined,) = refiner.refine([image], [probs])
    assert refined.dtype == np.float32
    assert ((refined >= 0.5) != mask).mean() < 0.01 < 0.2 < ((probs >= 0.5) != mask).mean()
    (again,) = pickle.loads(pickle.dumps(refiner)).refine([image], [probs])
    np.testing.assert_array_equal(again, refined)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 256), st.floats(0, 1000), st.integers(0, 99))
def test_the_minimiser_stays_within_the_range_of_its_target(
    height: int, width: int, colours: int, lam: float, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    grid = bilateral_grid(draw.integers(0, colours, (height, width, 3), dtype=np.uint8), np.array([3, 3, 8, 8, 8.0]))
    target, confidence = draw.uniform(0.2, 0.7, (height, width)), draw.uniform(1e-3, 1, (height, width))
    solved = solve(grid, target, confidence, lam)
    assert target.min() - 1e-4 <= solved.min() <= solved.max() <= target.max() + 1e-4
    np.testing.assert_allclose(solve(grid, np.full_like(target, 0.3), confidence, lam), 0.3, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (17, 9)])
def test_a_constant_map_stays(shape: tuple[int, int], value: float) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    (refined,) = FastBilateralSolver().refine([image], [np.full(shape, value, np.float32)])
    np.testing.assert_array_equal(refined, np.float32(value))


@pytest.mark.parametrize("wrong", [{"sigma_luma": 0.5}, {"lam": -1.0}, {"confidence_power": float("nan")}])
def test_parameters_without_meaning_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        FastBilateralSolver(**wrong)
