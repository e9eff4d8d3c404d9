from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from bench.datasets.splits import split_off


# Sizes as the paper and its code give them.
@pytest.mark.parametrize(
    ("count", "rest", "held_out"),
    [(6226, 4980, 1246), (1246, 996, 250), (5019, 4015, 1004), (120, 96, 24), (240, 192, 48), (1000, 800, 200)],
)
def test_sizes_of_the_paper(count: int, rest: int, held_out: int) -> None:
    assert [len(part) for part in split_off(range(count))] == [rest, held_out]


def test_it_is_scikit_learns_split() -> None:
    ids = [f"id{number}" for number in range(57)]
    assert list(split_off(ids)) == train_test_split(ids, test_size=0.2, random_state=29)


@pytest.mark.parametrize(("count", "rest"), [(0, 0), (1, 1), (2, 1), (3, 2), (6, 4)])
def test_tiny_lists(count: int, rest: int) -> None:
    assert [len(part) for part in split_off(range(count))] == [rest, count - rest]


@given(st.integers(0, 60), st.floats(0, 1))
def test_every_item_lands_in_one_part(count: int, fraction: float) -> None:
    rest, held_out = split_off(range(count), fraction)
    assert sorted(rest + held_out) == list(range(count))
    if count > 1:
        assert len(held_out) == math.ceil(fraction * count)
