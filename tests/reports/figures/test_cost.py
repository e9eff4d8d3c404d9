"""The Pareto front, and what of a block is drawn."""

from __future__ import annotations

import itertools
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bench.reports import build
from bench.reports.figures.cost import pareto, shown
from bench.store import Store
from tests.reports.stores import add

POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(-3, 3)), max_size=12)


@given(POINTS)
def test_the_front_is_what_no_other_dominates(points: list[tuple[int, int]]) -> None:
    front = pareto([cost for cost, _ in points], [gain for _, gain in points])
    dominated = {
        k
        for k, (cost, gain) in enumerate(points)
        if any(c <= cost and g >= gain and (c, g) != (cost, gain) for c, g in points)
    }
    assert set(front) == set(range(len(points))) - dominated
    assert len(front) == len(set(front))
    for one, other in itertools.pairwise(front):  # it rises
        assert points[one] <= points[other]


def test_equal_points_are_both_on_it() -> None:
    assert pareto([1, 1, 2], [5, 5, 5]) == [0, 1]


def test_oracles_and_what_has_no_gain_are_left_out_and_the_base_is_first(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, "crf", [0.6, 0.7])
    add(store, "identity", [0.5, 0.6])
    add(store, "oracle", [0.9, 0.9], uses_ground_truth=True)
    add(store, "prn", None)
    ((block,),) = (group.blocks for group in build(store).groups)
    assert [row.refiner for row in shown(block, "identity")] == ["identity", "crf"]
    assert shown(block, "another") == []
