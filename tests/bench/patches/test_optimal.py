"""Patch-optimal labels against the goldens' brute force and against our own, on maps of any size and type."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.patches import image_optimal, optimal, patch_optimal, patch_targets
from tests.benchmarks.grid_as_written import grid_as_written, iou_of_booleans, iou_of_floats


@pytest.fixture(scope="module", autouse=True, params=["numpy", "numba"])
def way(request: pytest.FixtureRequest) -> Iterator[None]:
    """All of it holds with numba and without."""
    if request.param == "numba":
        pytest.importorskip("numba", reason="the extra fast is not installed")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(optimal, "UNCOMPILED", 0 if request.param == "numba" else float("inf"))
        yield
    if request.param == "numba":
        assert "bench.patches.compiled" in sys.modules


def brute_force(probs: np.ndarray, mask: np.ndarray, smooth: float) -> tuple[float, list[float]]:
    """The best IoU of one patch and every threshold that reaches it (infinity is the empty mask)."""

    def iou(pred: np.ndarray) -> float:
        union = np.logical_or(pred, mask).sum() + smooth
        return (np.logical_and(pred, mask).sum() + smooth) / union if union else 1.0

    scores = {value: iou(probs >= value) for value in [*np.unique(probs).tolist(), np.inf]}
    best = max(scores.values())
    return best, [value for value, score in scores.items() if score == best]


@st.composite
def maps_and_masks(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(1, 12)), draw(st.integers(1, 12)))
    levels = draw(st.sampled_from([1, 2, 5, 20, 255]))
    codes = rng.integers(0, levels + 1, shape)
    kind = draw(st.sampled_from(["u1", "u2", "f2", "f4", "f8", ">f4", ">u2"]))
    # Integer codes are spread over the type's range, or crowded at its bottom.
    spread = np.iinfo(kind).max // levels if kind[-2] == "u" and draw(st.booleans()) else 1
    probs = (codes / levels).astype(kind) if kind[-2] == "f" else (codes * spread).astype(kind)
    if draw(st.booleans()):
        probs = np.asfortranarray(probs)
    return probs, rng.random(shape) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))


@st.composite
def larger_maps_and_masks(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Maps that tell something of their masks: spread, crowded, saturated, or all alike but for rounding."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    logits = rng.normal(size=(draw(st.integers(33, 50)), draw(st.integers(33, 50))))
    mask = logits + rng.normal(size=logits.shape) > draw(st.sampled_from([-4.0, 0.0, 1.0, 3.0]))
    probs = 1 / (1 + np.exp(-draw(st.sampled_from([1e-6, 0.1, 1.0, 10.0, 40.0])) * logits))
    kind = draw(st.sampled_from(["u2", "f2", "f4", "f8"]))
    return (probs * (65535 if kind == "u2" else 1)).astype(kind), mask


@given(maps_and_masks(), st.integers(1, 14), st.sampled_from([0.0, 1.0]))
def test_every_patch_is_at_its_brute_force_optimum(
    case: tuple[np.ndarray, np.ndarray], patch: int, smooth: float
) -> None:
    assert_optimal(*case, patch, smooth)


@settings(max_examples=30)
@given(larger_maps_and_masks(), st.integers(32, 36), st.sampled_from([0.0, 1.0]))
def test_so_is_every_large_patch(case: tuple[np.ndarray, np.ndarray], patch: int, smooth: float) -> None:
    assert_optimal(*case, patch, smooth)


def assert_optimal(probs: np.ndarray, mask: np.ndarray, patch: int, smooth: float) -> None:
    found = patch_optimal(probs, mask, patch, smooth=smooth)
    scale = float(np.iinfo(probs.dtype).max) if probs.dtype.kind == "u" else 1.0
    grid = tuple(-(-side // min(patch, max(probs.shape))) for side in probs.shape)
    assert found.thresholds.shape == found.ious.shape == grid
    assert found.labels.shape == probs.shape
    for row, column in np.ndindex(*grid):
        window = (slice(row * patch, (row + 1) * patch), slice(column * patch, (column + 1) * patch))
        best, thresholds = brute_force(probs[window], mask[window], smooth)
        assert found.ious[row, column] == best
        distances = [abs(value / scale - 0.5) for value in thresholds]
        chosen = thresholds[len(distances) - 1 - int(np.argmin(distances[::-1]))]  # of two equally near the higher
        assert found.thresholds[row, column] == chosen / scale
        assert np.array_equal(found.labels[window], probs[window] >= chosen)


def test_numba_finds_what_numpy_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="the extra fast is not installed")
    for case in range(500):
        draw = np.random.default_rng(case)
        kind = np.dtype(["u1", "u2", "f2", "f4", "f8"][case % 5])
        shares = draw.random(tuple(draw.integers(1, 80, 2))) ** draw.choice([0.1, 1, 8])
        if case % 3 == 0:  # many are alike
            shares = np.round(shares * 12) / 12
        probs = (shares * (np.iinfo(kind).max if kind.kind == "u" else 1)).astype(kind)
        mask = draw.random(shares.shape) < draw.choice([0, 0.01, 0.3, 0.9, 1])
        patch, smooth = int(draw.integers(1, 40)), float(draw.choice([0, 0.5, 1]))
        found = []
        for first in (0, np.inf):
            monkeypatch.setattr(optimal, "UNCOMPILED", first)
            found.append(patch_optimal(probs, mask, patch, smooth=smooth))
        for name in ("labels", "thresholds", "ious"):
            assert np.array_equal(getattr(found[0], name), getattr(found[1], name)), (case, name)


@given(maps_and_masks(), st.integers(1, 14))
def test_the_grid_is_the_released_search(case: tuple[np.ndarray, np.ndarray], patch: int) -> None:
    probs, mask = case
    found = patch_optimal(probs, mask, patch, smooth=1.0, thresholds="grid")
    # Codes as float64 probabilities; floats as they are, so that a float32 of 0.2 is not above 0.2.
    plain = probs / np.iinfo(probs.dtype).max if probs.dtype.kind == "u" else probs
    labels, thresholds, ious = grid_as_written(plain, mask, min(patch, max(probs.shape)), iou_of_booleans)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_array_equal(found.thresholds, thresholds)
    np.testing.assert_array_equal(found.ious, ious)
    exact = patch_optimal(probs, mask, patch, smooth=1.0)
    assert (exact.ious >= found.ious).all()


def test_the_grid_asks_for_more_than_its_threshold_and_never_goes_below_a_twentieth() -> None:
    mask = np.ones((1, 4), bool)
    for kind in ("u1", "f4", "f8"):
        probs = np.array([[0, 51, 102, 255]], "u1") if kind == "u1" else np.array([[0, 0.2, 0.4, 1]], kind)
        # 0.2 is above 0.05, 0 is not; 0.05 is the lowest of the equally good 0.05, 0.10 and 0.15.
        found = image_optimal(probs, mask, thresholds="grid")
        assert (found.thresholds[0, 0], found.ious[0, 0]) == (0.05, 0.75)
        only_higher = image_optimal(probs, probs > probs[0, 1], thresholds="grid")
        assert (only_higher.thresholds[0, 0], only_higher.ious[0, 0]) == (0.2, 1.0)


@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_the_grids_last_threshold_is_the_empty_mask(smooth: float) -> None:
    probs, mask = np.array([[0.5, 0.99]]), np.zeros((1, 2), bool)
    found = patch_optimal(probs, mask, 2, smooth=smooth, thresholds="grid")
    assert (found.thresholds[0, 0], found.ious[0, 0]) == (1.0, 1.0)
    assert not found.labels.any()


@given(maps_and_masks())
def test_the_whole_image_is_one_patch(case: tuple[np.ndarray, np.ndarray]) -> None:
    probs, mask = case
    found = image_optimal(probs, mask)
    assert found.ious.shape == (1, 1)
    assert found.ious[0, 0] == brute_force(probs, mask, 0.0)[0]


@pytest.mark.parametrize("kind", ["u1", "u2", "f4", "f8"])
def test_large_patches_agree_with_small_ones_whatever_the_type(kind: str) -> None:
    # Patches of 300 pixels have more of them than an 8- or 16-bit map has levels: the histogram is used.
    rng = np.random.default_rng(0)
    codes, mask = rng.integers(0, 256, (310, 300)), rng.random((310, 300)) < 0.3
    probs = {"u1": codes, "u2": codes * 257, "f4": codes / 255, "f8": codes / 255}[kind].astype(kind)
    found = patch_optimal(probs, mask, 300)
    expected = [brute_force(codes[:300], mask[:300], 0.0), brute_force(codes[300:], mask[300:], 0.0)]
    assert found.ious.ravel().tolist() == [best for best, _ in expected]
    assert found.thresholds.ravel() * 255 == pytest.approx([values[0] for _, values in expected])


@pytest.mark.parametrize("patch", [64, 256])
def test_goldens(shared: Path, patch: int) -> None:
    values = np.load(shared / "goldens" / "patch_values.npz")
    pairs = sorted((shared / "goldens" / "pairs").glob("*.npz"))
    assert len(pairs) == 34
    for path in pairs:
        with np.load(path) as pair:
            codes, mask = pair["prob"], pair["gt"].astype(bool)
        expected = values[f"{path.stem}|{patch}|exact_ceil"]
        for probs in (codes, codes.astype(np.uint16) * np.uint16(257), (codes / 255).astype(np.float32)):
            for column, smooth in ((0, 1.0), (1, 0.0)):
                found = patch_optimal(probs, mask, patch, smooth=smooth).ious.ravel()
                np.testing.assert_allclose(found, expected[:, column], rtol=0, atol=1e-9, err_msg=path.stem)


@pytest.mark.parametrize("patch", [64, 256])
def test_goldens_of_the_grid(shared: Path, patch: int) -> None:
    values = np.load(shared / "goldens" / "patch_values.npz")
    compared = 0
    for path in sorted((shared / "goldens" / "pairs").glob("*.npz")):
        with np.load(path) as pair:
            codes, mask = pair["prob"], pair["gt"].astype(bool)
        rows, columns = codes.shape[0] // patch, codes.shape[1] // patch  # the released code drops smaller patches
        expected = values[f"{path.stem}|{patch}|grid_s1"], values[f"{path.stem}|{patch}|grid_th"]
        compared += rows * columns
        for probs in (codes, codes.astype(np.uint16) * np.uint16(257), (codes / 255).astype(np.float32), codes / 255):
            found = patch_optimal(probs, mask, patch, smooth=1.0, thresholds="grid")
            for ours, theirs in zip((found.ious, found.thresholds), expected, strict=True):
                np.testing.assert_allclose(ours[:rows, :columns].ravel(), theirs, rtol=0, atol=1e-9, err_msg=path.stem)
    assert compared > 100


def test_the_benchmarks_baseline_is_the_released_search(shared: Path) -> None:
    values = np.load(shared / "goldens" / "patch_values.npz")
    pairs = sorted((shared / "goldens" / "pairs").glob("*_512x512.npz"))[:3]
    assert pairs
    for path in pairs:
        with np.load(path) as pair:
            probs, truth = pair["prob"] / 255, pair["gt"].astype(np.float64)
        for _, thresholds, ious in (
            grid_as_written(probs, truth, 64, iou_of_floats),
            grid_as_written(probs, truth > 0, 64, iou_of_booleans),
        ):
            np.testing.assert_allclose(ious.ravel(), values[f"{path.stem}|64|grid_s1"], rtol=0, atol=1e-9)
            np.testing.assert_allclose(thresholds.ravel(), values[f"{path.stem}|64|grid_th"], rtol=0, atol=1e-9)


def test_minus_zero_is_zero() -> None:
    found = patch_optimal(np.array([[-0.0, 0.0, 0.5]], np.float32), np.array([[True, True, True]]), 3)
    assert (found.thresholds[0, 0], found.ious[0, 0]) == (0.0, 1.0)
    assert found.labels.all()


def test_a_patch_without_foreground_is_background() -> None:
    found = patch_optimal(np.full((2, 2), 0.9, np.float32), np.zeros((2, 2), bool), 2)
    assert not found.labels.any()
    assert (found.thresholds[0, 0], found.ious[0, 0]) == (np.inf, 1.0)


def best_iou(probs: np.ndarray, mask: np.ndarray) -> float:
    return max(iou(probs >= threshold, mask) for threshold in [*np.unique(probs), 2.0])


def iou(pred: np.ndarray, mask: np.ndarray) -> float:
    union = (pred | mask).sum()
    return float((pred & mask).sum() / union) if union else 1.0


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 9), st.integers(1, 5))
def test_targets_are_best_of_all_thresholds_and_one_half_where_that_is(
    seed: int, height: int, width: int, patch: int
) -> None:
    draw = np.random.default_rng(seed)
    probs = (np.rint(draw.random((height, width)) * 12) / 12 * 0.98 + 0.01).astype(np.float32)
    mask = draw.random((height, width)) < draw.choice([0.0, 0.5, 1.0])
    targets = patch_targets(probs, mask, patch)
    assert targets.shape == (-(-height // patch), -(-width // patch))
    for (row, column), target in np.ndenumerate(targets):
        here = (slice(row * patch, (row + 1) * patch), slice(column * patch, (column + 1) * patch))
        reached = iou(probs[here] >= target, mask[here])
        assert reached == best_iou(probs[here], mask[here])
        if np.array_equal(probs[here] >= target, probs[here] >= 0.5):
            assert target == 0.5
        assert 0 < target < 1


def test_the_inputs_are_not_changed() -> None:
    probs = np.random.default_rng(0).random((5, 5), dtype=np.float32)
    mask = probs > 0.3
    probs.flags.writeable = mask.flags.writeable = False
    assert patch_optimal(probs, mask, 2).ious.min() == 1.0


@pytest.mark.parametrize(
    ("probs", "mask", "patch"),
    [
        (np.zeros((2, 2)), np.zeros((2, 3), bool), 1),
        (np.zeros((2, 2, 1)), np.zeros((2, 2, 1), bool), 1),
        (np.zeros((0, 2)), np.zeros((0, 2), bool), 1),
        (np.array([[np.nan]]), np.ones((1, 1), bool), 1),
        (np.array([[-0.1]]), np.ones((1, 1), bool), 1),
        (np.zeros((2, 2)), np.zeros((2, 2), bool), 0),
        (np.zeros((2, 2), np.int64), np.zeros((2, 2), bool), 1),
    ],
)
def test_what_is_no_map_is_refused(probs: np.ndarray, mask: np.ndarray, patch: int) -> None:
    with pytest.raises(ValueError, match=r"map|patch"):
        patch_optimal(probs, mask, patch)
