"""Patch-optimal labels of several classes against brute force, random search and the goldens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from bench.refiners.prn.multiclass import patch_optimal_multiclass


def mean_iou(labels: np.ndarray, truth: np.ndarray, classes: int) -> np.ndarray:
    """Of each row; a class in neither counts 1."""
    ious = []
    for which in range(classes):
        union = ((labels == which) | (truth == which)).sum(axis=-1)
        hits = ((labels == which) & (truth == which)).sum(axis=-1)
        ious.append(np.where(union == 0, 1.0, hits / np.maximum(union, 1)))
    return np.mean(ious, axis=0)


def make(kind: str, classes: int, count: int, side: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Maps ``(m, side, count * side)`` of as many patches in a row, and labels."""
    rng = np.random.default_rng([seed, classes])
    shape = (classes, side, count * side)
    if kind == "noise":
        probs, truth = rng.dirichlet(np.ones(classes), shape[1:]), rng.integers(0, classes, shape[1:])
        return np.moveaxis(probs, -1, 0).astype(np.float32), truth
    if kind == "codes":
        return rng.integers(0, 256, shape) / 255, rng.integers(0, classes, shape[1:])
    fields = ndimage.gaussian_filter(rng.normal(size=shape), (0, side / 6, side / 6))
    fields /= fields.std()
    bias = np.repeat(rng.normal(size=(classes, 1, count)), side, axis=2)
    powers = np.exp(2 * fields + bias + 3 * ndimage.gaussian_filter(rng.normal(size=shape), (0, 1, 1)))
    return (powers / powers.sum(axis=0)).astype(np.float32), fields.argmax(axis=0)


def in_rows(array: np.ndarray, side: int) -> np.ndarray:
    """``(..., side, count * side)`` -> ``(..., count, side * side)``."""
    tiles = array.reshape(*array.shape[:-1], -1, side)
    return np.moveaxis(tiles, -2, -3).reshape(*array.shape[:-2], -1, side * side)


@pytest.mark.parametrize("kind", ["noise", "codes", "blobs"])
def test_two_classes_reach_the_binary_optimum(kind: str) -> None:
    side, count = 6, 334  # of three kinds: 1,002 patches
    probs, truth = make(kind, 2, count, side, 0)
    found = patch_optimal_multiclass(probs, truth, side)
    rows, real = in_rows(probs.astype(np.float64), side), in_rows(truth, side)
    for index in range(count):
        # Equal differences of codes / 255 are not equal to the last bit.
        differences = np.round(rows[1, index] - rows[0, index], 9)
        cuts = [*np.unique(differences), np.inf]
        best = max(mean_iou((differences >= cut).astype(int), real[index], 2) for cut in cuts)
        assert found.mious[0, index] == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("patch", [64, pytest.param(256, marks=pytest.mark.slow)])
def test_two_classes_reach_the_goldens(shared: Path, patch: int) -> None:
    values = np.load(shared / "goldens" / "patch_values.npz")
    pairs = sorted((shared / "goldens" / "pairs").glob("*.npz"))
    checked = 0
    for path in pairs:
        key = f"{path.stem}|{patch}|exact_s1_s0_miou"
        pair = np.load(path)
        rows, columns = (side // patch for side in pair["gt"].shape)
        if key not in values or rows * columns == 0:
            continue
        probs = pair["prob"] / 255
        found = patch_optimal_multiclass(np.stack([1 - probs, probs]), pair["gt"].astype(int), patch)
        np.testing.assert_allclose(found.mious[:rows, :columns].ravel(), values[key][:, 2], rtol=0, atol=1e-9)
        checked += rows * columns
    assert checked > 100


def check_against_random(classes: int, count: int, side: int, vectors: int) -> None:
    for kind in ("noise", "codes", "blobs"):
        probs, truth = make(kind, classes, count, side, 1)
        found = patch_optimal_multiclass(probs, truth, side).mious[0]
        rows, real = in_rows(probs, side), in_rows(truth, side)
        assert (found >= mean_iou(rows.argmax(axis=0), real, classes)).all()
        rng = np.random.default_rng(2)
        for _ in range(vectors):
            shift = rng.uniform(-1, 1, classes)[:, None, None]
            assert (found >= mean_iou((rows + shift).argmax(axis=0), real, classes) - 1e-12).all()


@pytest.mark.parametrize("classes", [3, 5, 8])
def test_it_is_above_no_translation_and_random_ones(classes: int) -> None:
    check_against_random(classes, count=20, side=8, vectors=150)


@pytest.mark.slow
@pytest.mark.parametrize("side", [8, 16])
@pytest.mark.parametrize("classes", [3, 4, 5, 6, 7, 8])
def test_it_is_above_the_best_of_2000_random_translations_on_200_patches(classes: int, side: int) -> None:
    check_against_random(classes, count=67, side=side, vectors=2000)


@st.composite
def maps_and_labels(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    classes = draw(st.integers(2, 5))
    shape = (classes, draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    levels = draw(st.sampled_from([1, 2, 5, 255, 65535, 2**40]))
    probs = (rng.integers(0, levels + 1, shape) / levels).astype(draw(st.sampled_from(["f2", "f4", "f8"])))
    return probs, rng.integers(0, draw(st.integers(1, classes)), shape[1:])


@settings(deadline=None)
@given(maps_and_labels(), st.integers(1, 10))
def test_translations_give_the_labels_and_the_labels_their_score(
    case: tuple[np.ndarray, np.ndarray], patch: int
) -> None:
    probs, truth = case
    classes, height, width = probs.shape
    found = patch_optimal_multiclass(probs, truth, patch, restarts=1)
    assert found.labels.shape == truth.shape
    assert found.translations.shape == (-(-height // patch), -(-width // patch), classes)
    assert found.mious.shape == found.translations.shape[:2]
    for row, column in np.ndindex(*found.mious.shape):
        window = (slice(row * patch, (row + 1) * patch), slice(column * patch, (column + 1) * patch))
        shift = found.translations[row, column][:, None, None]
        here, real = probs[:, window[0], window[1]], truth[window].ravel()
        np.testing.assert_array_equal(found.labels[window], (here + shift).argmax(axis=0))
        score = mean_iou(found.labels[window].ravel(), real, classes)
        assert found.mious[row, column] == pytest.approx(score, abs=1e-12)
        assert score >= mean_iou(here.argmax(axis=0).ravel(), real, classes)


@settings(deadline=None, max_examples=50)
@given(maps_and_labels())
def test_no_single_class_leads_higher(case: tuple[np.ndarray, np.ndarray]) -> None:
    probs, truth = case
    classes = len(probs)
    found = patch_optimal_multiclass(probs, truth, 9, restarts=0)
    shift = found.translations[0, 0]
    heights = probs.astype(np.float64) + shift[:, None, None]
    for which in range(classes):
        rivals = np.delete(heights, which, axis=0).max(axis=0)
        breaks = np.unique(rivals - heights[which])
        edges = np.concatenate([[breaks[0] - 1], breaks, [breaks[-1] + 1]])
        # 0.8 - 0.0 and 1.0 - 0.2 are one breakpoint, which rounding makes two.
        apart = edges[1:] - edges[:-1] > 1e-9
        for step in ((edges[:-1] + edges[1:]) / 2)[apart]:
            moved = shift.copy()
            moved[which] += step
            labels = (probs + moved[:, None, None]).argmax(axis=0)
            assert mean_iou(labels.ravel(), truth.ravel(), classes) <= found.mious[0, 0] + 1e-9


def test_what_is_right_already_is_not_translated() -> None:
    probs, _ = make("noise", 4, 3, 8, 0)
    found = patch_optimal_multiclass(probs, probs.argmax(axis=0), 8)
    assert not found.translations.any()
    assert (found.mious == 1).all()


def test_of_equally_good_steps_the_shortest_is_taken() -> None:
    # Only the last pixel is wrong. Class 1 has it for t_1 - t_0 in (0.1, 0.2), and from 0.2 on it takes too much.
    probs = np.array([[0.9, 0.6, 0.55], [0.1, 0.4, 0.45]])[:, None]
    found = patch_optimal_multiclass(probs, np.array([[0, 0, 1]]), 3)
    assert found.mious[0, 0] == 1
    assert 0.1 < found.translations[0, 0, 1] - found.translations[0, 0, 0] < 0.2
    # Nothing there is of class 0: any step beyond 0.8 empties it, and 0.8 is the nearest.
    found = patch_optimal_multiclass(probs, np.array([[1, 1, 1]]), 3)
    assert 0.8 < found.translations[0, 0, 1] - found.translations[0, 0, 0] < 0.81


def test_a_patch_does_not_depend_on_the_others_and_inputs_are_kept() -> None:
    probs, truth = make("codes", 4, 5, 8, 0)
    kept, real = probs.copy(), truth.copy()
    together = patch_optimal_multiclass(probs, truth, 8)
    alone = patch_optimal_multiclass(probs[:, :, 16:24], truth[:, 16:24], 8)
    np.testing.assert_array_equal(together.translations[0, 2], alone.translations[0, 0])
    np.testing.assert_array_equal(together.labels[:, 16:24], alone.labels)
    np.testing.assert_array_equal(probs, kept)
    np.testing.assert_array_equal(truth, real)


@pytest.mark.parametrize(
    ("probs", "labels", "patch"),
    [
        (np.zeros((2, 2, 2)), np.zeros((2, 3), int), 1),
        (np.zeros((2, 2)), np.zeros((2, 2), int), 1),
        (np.zeros((1, 2, 2)), np.zeros((2, 2), int), 1),
        (np.zeros((2, 0, 2)), np.zeros((0, 2), int), 1),
        (np.full((2, 1, 1), np.nan), np.zeros((1, 1), int), 1),
        (np.full((2, 1, 1), 1.5), np.zeros((1, 1), int), 1),
        (np.zeros((2, 1, 1), np.uint8), np.zeros((1, 1), int), 1),
        (np.zeros((2, 1, 1)), np.full((1, 1), 2), 1),
        (np.zeros((2, 1, 1)), np.full((1, 1), -1), 1),
        (np.zeros((2, 1, 1)), np.zeros((1, 1)), 1),
        (np.zeros((2, 1, 1)), np.zeros((1, 1), int), 0),
    ],
)
def test_what_is_no_map_is_refused(probs: np.ndarray, labels: np.ndarray, patch: int) -> None:
    with pytest.raises(ValueError, match=r"map|label|patch"):
        patch_optimal_multiclass(probs, labels, patch)
