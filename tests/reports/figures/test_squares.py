"""Where boxes are drawn: by hand, and by a search through all squares."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench.metrics.bias import bias
from bench.reports.figures.squares import changes, errors, side_of, squares

WEIGHTS = st.tuples(st.integers(1, 2), st.integers(1, 14), st.integers(1, 14)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.integers(-3, 3))
)


@given(WEIGHTS, st.integers(-2, 4))
def test_each_is_the_heaviest_of_those_apart_from_the_ones_before(weights: np.ndarray, least: int) -> None:
    found = squares(weights, least)
    side = side_of(*weights.shape[1:])
    free = [
        (kind, top, left)
        for kind in range(len(weights))
        for top in range(weights.shape[1] - side + 1)
        for left in range(weights.shape[2] - side + 1)
    ]

    def weight(kind: int, top: int, left: int) -> int:
        return int(weights[kind, top : top + side, left : left + side].sum())

    for square in found:
        assert (square.kind, square.top, square.left) in free and square.side == side
        assert square.weight == weight(square.kind, square.top, square.left) == max(weight(*each) for each in free)
        assert square.weight >= least
        free = [
            (kind, top, left)
            for kind, top, left in free
            if abs(top - square.top) > side or abs(left - square.left) > side
        ]
    assert len(found) == 3 or all(weight(*each) < least for each in free)


def test_a_spot_is_in_the_middle_of_its_square() -> None:
    weights = np.zeros((1, 60, 60), np.int64)
    weights[0, 30:33, 20:23] = 1
    (square,) = squares(weights)
    assert (square.top, square.left, square.side, square.weight) == (26, 16, 10, 9)


def test_what_became_right_and_what_became_wrong() -> None:
    base = np.array([[0, 127, 128, 255, 200, 100]], np.uint8)
    refined = np.array([[128, 0, 127, 0, 128, 255]], np.uint8)
    truth = np.array([[255, 255, 0, 255, 255, 128]], np.uint8)  # the last is void
    right, wrong = changes(base, refined, truth)
    assert right.tolist() == [[1, 0, 1, 0, 0, 0]]
    assert wrong.tolist() == [[0, 0, 0, 1, 0, 0]]


def test_nothing_changed_has_no_square() -> None:
    codes = np.full((9, 7), 200, np.uint8)
    assert squares(changes(codes, codes, codes)) == []


@given(arrays(np.uint8, (12, 12)), arrays(np.bool_, (12, 12)))
def test_errors_are_those_of_the_bias_metric(codes: np.ndarray, mask: np.ndarray) -> None:
    truth = np.where(mask, 255, 0).astype(np.uint8)
    found = errors(codes, truth)
    (square, *_) = squares(np.stack([found, -found]), least=-(10**9), most=1)
    inside = np.s_[square.top : square.top + square.side, square.left : square.left + square.side]
    of_patch = bias((codes[inside] / 255).astype(np.float32), mask[inside], square.side).absolute[0]
    assert abs(square.weight) / 255 / square.side**2 == np.float64(of_patch) or np.isclose(
        abs(square.weight) / 255 / square.side**2, of_patch
    )
    assert errors(codes, np.full((12, 12), 128, np.uint8)).any() == np.False_
