from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.contracts import Image, ProbabilityMap, UserError
from bench.refiners.matting import Matting

pytest.importorskip("pymatting", reason="pymatting is not installed, which matting needs")

METHODS = ("cf", "knn", "lbdm", "lkm", "rw")

FOREGROUND, BACKGROUND = np.array([210.0, 60, 40]), np.array([30.0, 120, 200])


def disc(height: int = 60, width: int = 80, soft: float = 4) -> tuple[np.ndarray, Image]:
    """A disc whose rim is ``soft`` pixels wide, and the picture of it: one colour composed over another."""
    rows, columns = np.ogrid[:height, :width]
    alpha = np.clip((min(height, width) * 0.3 - np.hypot(rows - height / 2, columns - width / 2)) / soft + 0.5, 0, 1)
    mixed = alpha[..., None] * FOREGROUND + (1 - alpha[..., None]) * BACKGROUND
    return alpha, np.round(mixed).astype(np.uint8)


def rough(alpha: np.ndarray, shift: int = 2) -> ProbabilityMap:
    """A map that is sure, hard and a little off."""
    return np.roll(alpha >= 0.5, shift, axis=1).astype(np.float32)


@pytest.mark.parametrize("method", METHODS)
def test_a_composition_is_taken_apart_again(method: Any) -> None:
    alpha, image = disc()
    probs = rough(alpha)
    (refined,) = Matting(method=method, band=0.05).refine([image], [probs])
    assert refined.dtype == np.float32
    # Random walks know no mixed colours: they cut the soft rim where it is steepest.
    most = 0.025 if method == "rw" else 0.01
    assert np.abs(refined - alpha).mean() < most < 0.035 < np.abs(probs - alpha).mean()
    if method in ("cf", "lbdm"):
        np.testing.assert_allclose(refined, alpha, atol=0.05)  # exact but for the rounding to 8 bits


def test_closed_form_is_levins_linear_system() -> None:
    """The paper's matting Laplacian, of windows of 3 x 3 and epsilon 1e-7, set up densely and solved."""
    draw = np.random.default_rng(0)
    height, width = 9, 11
    image = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
    probs = np.full((height, width), 0.5, np.float32)
    probs[:, :2], probs[:, -3:], probs[4, 5] = 0.0, 1.0, 1.0
    laplacian = np.zeros((height * width, height * width))
    numbers, pixels = np.arange(height * width).reshape(height, width), image / 255.0
    for row in range(height - 2):
        for column in range(width - 2):
            window = numbers[row : row + 3, column : column + 3].ravel()
            centred = pixels[row : row + 3, column : column + 3].reshape(9, 3)
            centred = centred - centred.mean(axis=0)
            inverse = np.linalg.inv(centred.T @ centred / 9 + 1e-7 / 9 * np.eye(3))
            laplacian[np.ix_(window, window)] += np.eye(9) - (1 + centred @ inverse @ centred.T) / 9
    known = (probs != 0.5).ravel()
    right = -laplacian[np.ix_(~known, known)] @ probs.ravel()[known]
    expected = probs.ravel().astype(np.float64)
    expected[~known] = np.clip(np.linalg.solve(laplacian[np.ix_(~known, ~known)], right), 0, 1)
    (refined,) = Matting(band=0).refine([image], [probs])
    np.testing.assert_allclose(refined.ravel(), expected, atol=1e-4)
    assert refined[:, 2:-3].std() > 0.05


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    power=st.sampled_from([0.2, 1.0, 5.0]),
    constant=st.booleans(),
    method=st.sampled_from(METHODS),
    sure=st.sampled_from([(0.5, 0.5), (0.1, 0.9), (0.0, 1.0)]),
    band=st.sampled_from([0.0, 0.01, 0.1]),
    side=st.sampled_from([0, 16]),
)
def test_what_is_certain_stays_and_the_rest_is_a_share(
    seed: int,
    height: int,
    width: int,
    power: float,
    constant: bool,
    method: Any,
    sure: tuple[float, float],
    band: float,
    side: int,
) -> None:
    draw = np.random.default_rng(seed)
    image = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if constant:
        image[:] = image[0, 0]
    coarse = draw.random((height // 8 + 1, width // 8 + 1)) ** power
    probs = np.kron(coarse, np.ones((8, 8)))[:height, :width].astype(np.float32)
    for array in (image, probs):
        array.setflags(write=False)
    refiner = Matting(method=method, sure_bg=sure[0], sure_fg=sure[1], band=band, side=side)
    (refined,) = refiner.refine([image], [probs])
    assert refined.dtype == np.float32 and refined.shape == probs.shape
    assert refined.min() >= 0 and refined.max() <= 1  # NaN would fail
    trimap = refiner.trimap(probs)
    certain = trimap != 0.5
    assert ((probs >= sure[1]) | (probs <= sure[0]))[certain].all()
    assert ((probs >= 0.5) == (trimap == 1))[certain].all()
    if not np.array_equal(refined, probs):
        np.testing.assert_array_equal(refined[certain], trimap[certain])


def test_the_band_follows_the_edge() -> None:
    probs = np.zeros((300, 400), np.float32)  # a diagonal of 500 pixels
    probs[100:200, 100:300] = 1
    trimap = Matting(band=0.02).trimap(probs)
    rows, columns = np.mgrid[:300, :400]
    outside = np.hypot(
        np.maximum(np.maximum(100 - rows, rows - 199), 0), np.maximum(np.maximum(100 - columns, columns - 299), 0)
    )
    inside = np.minimum(np.minimum(rows - 99, 200 - rows), np.minimum(columns - 99, 300 - columns))
    expected = np.where(probs == 1, np.where(inside > 10, 1, 0.5), np.where(outside > 10, 0, 0.5))
    np.testing.assert_array_equal(trimap, expected)


def test_thin_parts_and_holes_keep_their_core() -> None:
    probs = rough(disc(120, 160)[0], 0)
    probs[5:8, 10:60] = 1  # three pixels thin, and of the background's colour
    probs[58:63, 78:83] = 0  # a hole, of the foreground's
    trimap = Matting(band=0.05).trimap(probs)
    assert (trimap[6, 12:58] == 1).all() and (trimap[5, 12:58] == 0.5).all()
    assert trimap[60, 80] == 0 and trimap[58, 80] == 0.5


@pytest.mark.parametrize("method", ["cf", "lbdm", "rw"])  # the others look for like colours farther off
def test_what_only_background_surrounds_is_background(method: Any) -> None:
    """The foreground has no say in it: the linear system's right side is zero."""
    image = np.random.default_rng(4).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    probs = np.zeros((40, 60), np.float32)
    probs[:, :20], probs[15:25, 40:50] = 1, 0.4
    (refined,) = Matting(method=method, band=0).refine([image], [probs])
    np.testing.assert_allclose(refined[:, 20:], 0, atol=1e-6)


@pytest.mark.parametrize("shape", [(40, 50), (1, 1), (4, 30), (30, 4)])
def test_a_map_that_leaves_nothing_to_solve_stays_as_it_is(shape: tuple[int, int]) -> None:
    draw = np.random.default_rng(1)
    image = draw.integers(0, 256, (*shape, 3), dtype=np.uint8)
    half = np.zeros(shape, np.float32)
    half[: shape[0] // 2] = 1
    unsure = (0.2 + 0.6 * draw.random(shape)).astype(np.float32)  # nothing is certain
    maps = [np.zeros(shape, np.float32), np.ones(shape, np.float32), unsure]
    options: dict[str, Any] = {"band": 0.0}
    if min(shape) > 4:
        maps.append(half)  # nothing is in question without a band
    else:
        options["band"] = 0.3
        maps.append(np.where(unsure > 0.5, half, unsure))
    for given_map, refined in zip(maps, Matting(**options).refine([image] * 4, maps), strict=True):
        np.testing.assert_array_equal(refined, given_map)
        assert refined is not given_map


def test_a_large_image_is_solved_small_and_keeps_what_is_certain() -> None:
    alpha, image = disc(240, 320, soft=8)
    probs = rough(alpha, 4)
    whole, small = (Matting(band=0.03, side=side).refine([image], [probs])[0] for side in (0, 160))
    assert np.abs(small - whole).max() > 1e-3
    assert np.abs(small - alpha).mean() < 0.01 < np.abs(probs - alpha).mean()
    certain = Matting(band=0.03).trimap(probs)
    np.testing.assert_array_equal(small[certain != 0.5], certain[certain != 0.5])


def test_nothing_is_printed_and_a_copy_gives_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    alpha, _ = disc()
    image = np.full((60, 80, 3), 120, np.uint8)  # one colour: the preconditioner has a hard time
    refiner = Matting(band=0.05)
    (one,) = refiner.refine([image], [rough(alpha)])
    (two,) = pickle.loads(pickle.dumps(refiner)).refine([image], [rough(alpha)])
    np.testing.assert_array_equal(one, two)
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"sure_fg": 0.4}, "sure_fg=0.4"),
        ({"sure_bg": 0.6}, "sure_bg=0.6"),
        ({"band": -0.1}, "band"),
        ({"band": float("nan")}, "band"),
        ({"band": 1.0}, "band"),
        ({"side": 2}, "side"),
        ({"side": -5}, "side"),
    ],
)
def test_parameters_out_of_range_are_named(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Matting(**wrong)
