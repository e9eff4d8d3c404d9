from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bench.refiners.cascadepsp import perturb
from bench.refiners.cascadepsp.perturb import _coarsened, _thinned, kernels, perturbed

MASKS = arrays.arrays(np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, max_side=24))


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@settings(max_examples=60, deadline=None)
@given(MASKS, st.floats(0.8, 1.0), st.integers(0, 1000))
def test_the_iou_falls_under_the_target(mask: np.ndarray, target: float, seed: int) -> None:
    kept = mask.copy()
    mask.flags.writeable = False
    found = perturbed(mask, target, np.random.default_rng(seed))
    assert found.dtype == np.bool_ and found.shape == mask.shape
    # With what the coarsening leaves, which is drawn first.
    assert iou(found, _coarsened(mask, np.random.default_rng(seed)) > 0) < target
    np.testing.assert_array_equal(mask, kept)
    np.testing.assert_array_equal(found, perturbed(mask, target, np.random.default_rng(seed)))


@pytest.mark.parametrize("value", [False, True], ids=["empty", "full"])
def test_a_large_mask_without_a_contour_inside_is_changed_too(value: bool) -> None:
    mask = np.full((224, 224), value)
    coarse = _coarsened(mask, np.random.default_rng(0)) > 0
    assert iou(perturbed(mask, 0.8, np.random.default_rng(0)), coarse) < 0.8


def test_the_tenth_that_is_cut_out_has_one_of_the_shortest_chords(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.zeros((60, 70), np.uint8)
    cv2.ellipse(mask, (35, 30), (30, 8), 0, 0, 360, 1, -1)  # its ends are sharp: there a run ends near its start
    ((contour,), _) = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    points = [tuple(point) for point in contour[:, 0].tolist()]
    run = len(points) // 10
    chords = [np.hypot(*np.subtract(points[start], points[start + run])) for start in range(len(points) - run)]
    monkeypatch.setattr(perturb, "KEPT", 1.0)
    starts = set()
    for seed in range(40):
        rest = [tuple(point) for point in _thinned(contour, np.random.default_rng(seed))[:, 0].tolist()]
        assert len(rest) == len(points) - run
        start = next((i for i, point in enumerate(rest) if point != points[i]), len(rest))
        assert rest == points[:start] + points[start + run :]
        assert chords[start] <= sorted(chords)[-(-len(chords) // 10) - 1]
        starts.add(start)
    assert len(starts) > 3


def test_a_mask_of_contours_under_10_vertices_is_not_drawn_anew_and_small_ones_beside_others_are_left_out() -> None:
    speck = np.zeros((200, 200), np.uint8)
    speck[100:103, 100:103] = 1  # 8 vertices
    assert len(cv2.findContours(speck, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0][0]) == 8
    both = speck.copy()
    cv2.circle(both, (40, 40), 25, 1, -1)
    alone, left = ([_coarsened(mask > 0, np.random.default_rng(seed)) for seed in range(3)] for mask in (speck, both))
    assert all(np.array_equal(one, speck) for one in alone)
    assert not any(one[95:108, 95:108].any() for one in left)
    assert all(one[40, 40] for one in left)


def test_kernels_are_the_authors() -> None:
    found = [kernel.shape for kernel in kernels(9)]
    assert found == [(9, 9), (9, 9), (4, 9), (9, 4)]  # rows, columns
    square, disc, *_ = kernels(9)
    assert square.all() and 0.6 < disc.mean() < 0.9


def test_the_iou_is_looked_at_after_every_fourth_change(monkeypatch: pytest.MonkeyPatch) -> None:
    changes, looks = list[float](), list[int]()

    def look(found: np.ndarray, mask: np.ndarray) -> float:
        looks.append(len(changes))
        return 0.5 if len(looks) == 3 else 1.0

    monkeypatch.setattr(perturb, "_change_a_window", lambda found, growth, draw: changes.append(growth))
    monkeypatch.setattr(perturb, "_iou", look)
    perturbed(np.ones((8, 8), bool), 0.9, np.random.default_rng(0))
    assert looks == [4, 8, 12] and set(changes) == {0.5}


def test_what_is_wrong_lies_near_the_object() -> None:
    mask = np.zeros((128, 128), np.uint8)
    cv2.circle(mask, (60, 70), 40, 1, -1)
    cv2.circle(mask, (60, 70), 12, 0, -1)
    found = [perturbed(mask > 0, 0.9, np.random.default_rng(seed)) for seed in range(20)]
    ious = [iou(one, mask > 0) for one in found]
    # Far below the target a network would learn to draw, not to correct.
    assert 0.6 < np.mean(ious) < 0.9
    assert len({one.tobytes() for one in found}) == 20
    # The hole is still one, though the mask was drawn anew from its contours.
    assert np.mean([one[70, 60] for one in found]) < 0.3
