"""Which images stand for a cell."""

from __future__ import annotations

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from bench.reports.figures.choice import choose

GAINS = pd.Series([0.1, -0.2, 0.0, 0.3, 0.05], index=["a", "b", "c", "d", "e"])


def test_best_median_and_worst() -> None:
    found = choose(GAINS, list("abcde"))
    assert [(one.name, one.id, one.gain, one.rank) for one in found] == [
        ("best", "d", 0.3, 1),
        ("median", "e", 0.05, 3),
        ("worst", "b", -0.2, 5),
    ]
    assert {one.images for one in found} == {5}


def test_where_others_were_kept_it_says_so() -> None:
    found = choose(GAINS, ["b", "c", "e", "unknown"])
    assert [(one.name, one.id, one.rank) for one in found] == [
        ("best kept", "e", 3),
        ("median kept", "c", 4),
        ("worst", "b", 5),
    ]


def test_two_images_are_too_few() -> None:
    assert choose(GAINS, ["a", "b"]) == []
    assert choose(GAINS[:2], list("abcde")) == []


@given(st.lists(st.sampled_from([-0.1, 0.0, 0.2]), min_size=3, max_size=9), st.data())
def test_three_images_in_the_order_of_their_gains(values: list[float], data: st.DataObject) -> None:
    gains = pd.Series(values, index=[f"i{k}" for k in range(len(values))])
    kept = data.draw(st.lists(st.sampled_from(list(gains.index)), min_size=3, unique=True))
    best, middle, worst = choose(gains, kept)
    assert len({best.id, middle.id, worst.id}) == 3
    assert best.gain == gains[kept].max() and worst.gain == gains[kept].min()
    assert best.gain >= middle.gain >= worst.gain and best.rank < middle.rank < worst.rank
    assert (best.name == "best") == (best.gain == gains.max())
    if len(kept) == len(gains):
        assert middle.name == "median"
