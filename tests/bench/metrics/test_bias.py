"""The parts of the bias vector against loops over pixels, and against other libraries."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import binary_calibration_error

from bench.contracts import UserError
from bench.metrics.bias import BIASES, LAYOUT, SIZE, THRESHOLDS, Bias, Parts, bias, parts

Case = tuple[np.ndarray, np.ndarray]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Maps that tell something of their masks; the levels lie on no edge of a bin."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    mask = rng.random(shape) < draw(st.sampled_from([0.0, 0.2, 0.5, 1.0]))
    soft = 0.5 + draw(st.sampled_from([0.0, 0.3])) * (mask - 0.5) + rng.normal(0, 0.2, shape)
    return ((np.rint(soft.clip(0.02, 0.98) * 97)) / 97 + 0.001).astype(np.float32), mask


def tiles(length: int, patch: int) -> list[range]:
    return [range(start, min(start + patch, length)) for start in range(0, length, patch)]


@settings(deadline=None)
@given(cases(), st.integers(1, 24))
def test_patches_are_those_of_a_loop(case: Case, patch: int) -> None:
    probs, mask = case
    found = bias(probs, mask, patch)
    kinds = {"mixed": 0, "empty": 0, "full": 0}
    means = []
    gain = 0.0
    half = 0
    for rows in tiles(probs.shape[0], patch):
        for columns in tiles(probs.shape[1], patch):
            pixels = [(float(probs[row, column]), bool(mask[row, column])) for row in rows for column in columns]
            means.append(math.fsum(p - g for p, g in pixels) / len(pixels))
            truths = {g for _, g in pixels}
            kinds["mixed" if len(truths) == 2 else "full" if truths == {True} else "empty"] += 1
            if len(truths) == 2:
                best = max(iou(pixels, threshold) for threshold, _ in pixels)
                gain += best - iou(pixels, 0.5)
                half += best == iou(pixels, 0.5)
    assert found.patches.tolist() == [kinds["mixed"], kinds["empty"], kinds["full"]]
    assert found.absolute[0] == pytest.approx(math.fsum(map(abs, means)), abs=1e-9)
    assert found.gain[0] == pytest.approx(gain, abs=1e-9)
    assert found.bias.sum() == len(means)
    assert found.thresholds.sum() == kinds["mixed"]
    assert found.thresholds[10] == half
    # A mean on the edge of two bins may fall in either.
    inside = [mean for mean in means if abs(abs(mean * 10) % 1 - 0.5) > 1e-9]
    for centre, count in zip(BIASES, found.bias, strict=True):
        sure = sum(abs(mean - centre) < 0.05 for mean in inside)
        assert sure <= count <= sure + len(means) - len(inside)


def iou(pixels: list[tuple[float, bool]], threshold: float) -> float:
    shared = sum(p >= threshold and g for p, g in pixels)
    return shared / sum(p >= threshold or g for p, g in pixels)


@settings(deadline=None)
@given(cases())
def test_positions_are_those_of_a_loop(case: Case) -> None:
    probs, mask = case
    found = bias(probs, mask, 64).error
    bounds = [[round(place * side / 8) for place in range(9)] for side in probs.shape]
    for row in range(8):
        for column in range(8):
            pixels = [
                float(probs[y, x]) - float(mask[y, x])
                for y in range(bounds[0][row], bounds[0][row + 1])
                for x in range(bounds[1][column], bounds[1][column + 1])
            ]
            if pixels:
                assert found[row, column] == pytest.approx(math.fsum(pixels) / len(pixels), abs=1e-9)
            else:
                assert math.isnan(found[row, column])


@settings(deadline=None)
@given(cases())
def test_calibration_is_that_of_torchmetrics(case: Case) -> None:
    probs, mask = case
    found = bias(probs, mask, 64)
    assert found.pixels.sum() == mask.size and found.truth.sum() == mask.sum()
    assert found.probability.sum() == pytest.approx(probs.sum(dtype=np.float64))
    ece = np.abs(found.probability - found.truth).sum() / mask.size
    truth = torch.from_numpy(mask.ravel().astype(np.int64))
    theirs = binary_calibration_error(torch.from_numpy(probs.ravel().astype(np.float64)), truth, n_bins=15, norm="l1")
    assert ece == pytest.approx(float(theirs), abs=1e-6)


def test_ends_of_the_levels() -> None:
    found = bias(np.array([[0.0, 1.0, 1.0, 0.5]], np.float32), np.array([[False, True, False, True]]), 64)
    assert found.pixels[[0, 7, 14]].tolist() == [1, 1, 2]
    assert found.truth[[0, 7, 14]].tolist() == [0, 1, 1]
    assert found.probability[[0, 7, 14]].tolist() == [0, 0.5, 2]


def test_thresholds_by_hand() -> None:
    """Patches of two pixels, the left one foreground: the best threshold lies halfway, or at one half."""
    levels = {(0.3, 0.1): 0.2, (0.9, 0.7): 0.8, (0.99, 0.01): 0.5, (0.1, 0.9): 0.05, (0.4, 0.4): 0.2}
    for (inside, outside), threshold in levels.items():
        found = bias(np.array([[inside, outside]], np.float32), np.array([[True, False]]), 2)
        place = int(np.flatnonzero(found.thresholds)[0])
        assert found.thresholds.sum() == 1
        assert THRESHOLDS[place] - 1e-9 <= threshold <= THRESHOLDS[place + 1] + 1e-9
        assert (threshold == 0.5) == (place == 10)


def test_bins_of_thresholds_mirror_each_other() -> None:
    assert THRESHOLDS.tolist() == (1 - THRESHOLDS[::-1]).round(2).tolist()
    assert (THRESHOLDS[10], THRESHOLDS[11]) == (0.5, 0.5)


def test_the_best_iou_of_the_goldens_patches(shared: Path) -> None:
    """What a best threshold gains over one half, from the peers' optimum and plain counts at one half."""
    values = np.load(shared / "goldens" / "patch_values.npz")
    for path in sorted((shared / "goldens" / "pairs").glob("*.npz")):
        with np.load(path) as pair:
            codes, mask = pair["prob"], pair["gt"].astype(bool)
        best = iter(values[f"{path.stem}|64|exact_ceil"][:, 1])
        expected, mixed = 0.0, 0
        for rows in tiles(mask.shape[0], 64):
            for columns in tiles(mask.shape[1], 64):
                here = np.ix_(rows, columns)
                predicted, truth, top = codes[here] >= 128, mask[here], next(best)
                if truth.any() and not truth.all():
                    expected += top - (predicted & truth).sum() / (predicted | truth).sum()
                    mixed += 1
        found = bias((codes / 255).astype(np.float32), mask, 64)
        assert found.patches[0] == mixed
        assert found.gain[0] == pytest.approx(expected, abs=1e-9), path.stem


def test_the_vector_has_the_parts_one_after_the_other() -> None:
    rng = np.random.default_rng(0)
    pairs = [(rng.random((70, 90), np.float32), rng.random((70, 90)) < 0.4) for _ in range(3)]
    metric = Bias(patch=32)
    vectors = np.stack([metric(*pair) for pair in pairs])
    assert vectors.shape == (3, Bias.curve) == (3, SIZE) == (3, 156)
    assert vectors.dtype == np.float64
    together = parts(vectors)
    for index, pair in enumerate(pairs):
        for name, own, one, all_of in zip(Parts._fields, bias(*pair, 32), parts(vectors[index]), together, strict=True):
            assert own.shape == LAYOUT[name]
            np.testing.assert_array_equal(one, own)
            np.testing.assert_array_equal(all_of[index], own)


def test_what_is_no_such_vector_is_refused() -> None:
    with pytest.raises(ValueError, match="156"):
        parts(np.zeros(155))
    with pytest.raises(UserError, match="patch of 0"):
        Bias(patch=0)
