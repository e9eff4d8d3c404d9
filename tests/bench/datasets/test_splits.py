from __future__ import annotations

import math
import unicodedata
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from bench.datasets.splits import drawn, split_off


# Sizes as the paper and its code give them.
@pytest.mark.parametrize(
    ("count", "rest", "held_out"),
    [(6226, 4980, 1246), (1246, 996, 250), (5019, 4015, 1004), (120, 96, 24), (240, 192, 48), (1000, 800, 200)],
)
def test_sizes_of_the_paper(count: int, rest: int, held_out: int) -> None:
    assert [len(part) for part in split_off(range(count))] == [rest, held_out]


@given(st.integers(2, 3000), st.floats(0.001, 0.999))
def test_it_is_scikit_learns_split(count: int, fraction: float) -> None:
    held_out = math.ceil(fraction * count)
    if held_out < count:
        ids = [f"id{number}" for number in range(count)]
        assert list(split_off(ids, fraction)) == train_test_split(ids, test_size=held_out, random_state=29)
    assert list(split_off(range(57))) == train_test_split(range(57), test_size=0.2, random_state=29)


@pytest.mark.parametrize(("count", "rest"), [(0, 0), (1, 1), (2, 1), (3, 2), (6, 4)])
def test_tiny_lists(count: int, rest: int) -> None:
    assert [len(part) for part in split_off(range(count))] == [rest, count - rest]


@given(st.integers(0, 60), st.floats(0, 1))
def test_every_item_lands_in_one_part(count: int, fraction: float) -> None:
    rest, held_out = split_off(range(count), fraction)
    assert sorted(rest + held_out) == list(range(count))
    if count > 1:
        assert len(held_out) == math.ceil(fraction * count)


IDS = st.lists(st.text(min_size=1, max_size=6), unique_by=lambda text: unicodedata.normalize("NFC", text), max_size=40)


@given(IDS, st.integers(0, 45), st.integers(0, 45), st.randoms(use_true_random=False))
def test_a_sample_is_nested_in_order_and_knows_nothing_of_the_order(
    ids: list[str], few: int, many: int, random: Random
) -> None:
    few, many = sorted((few, many))
    small, large = drawn(ids, few), drawn(ids, many)
    assert len(small) == min(few, len(ids)) and set(small) <= set(large)
    assert small == [sample_id for sample_id in ids if sample_id in set(small)]
    mixed = random.sample(ids, len(ids))
    assert drawn(mixed, few) == [sample_id for sample_id in mixed if sample_id in set(small)]


@given(IDS, st.integers(0, 45), st.text(min_size=1, max_size=6))
def test_one_id_more_displaces_one_at_most(ids: list[str], count: int, more: str) -> None:
    before = set(drawn(ids, count))
    after = set(drawn([*ids, more], count)) if more not in ids else before
    assert len(before - after) <= 1 and after - before <= {more}


@pytest.mark.parametrize("name", ["{}", "{:04d}", "image_{}", "test-{:04d}"])
def test_a_sample_is_spread_over_the_split_as_a_random_one_is(name: str) -> None:
    """The mean place of 100 of 1,000 has a standard deviation of 27.4 (without replacement)."""
    ids = [name.format(number) for number in range(1000)]
    places = [ids.index(sample_id) for sample_id in drawn(ids, 100)]
    assert abs(sum(places) / 100 - 499.5) < 4 * 27.4
    fifths = [sum(200 * part <= place < 200 * part + 200 for place in places) for part in range(5)]
    assert min(fifths) >= 6  # of 20 expected, a standard deviation of 3.8


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.integers(0, 40))
def test_of_few_shot_data_whole_classes_are_drawn(sizes: list[int], count: int) -> None:
    classes = {f"c{one}/{number}": f"c{one}" for one, size in enumerate(sizes) for number in range(size)}
    chosen = drawn(list(classes), count, classes)
    found = Counter(classes[sample_id] for sample_id in chosen)
    assert len(chosen) == min(count, len(classes))
    assert sum(found[f"c{one}"] not in (0, size) for one, size in enumerate(sizes)) <= 1


def test_both_unicode_forms_of_a_name_are_drawn_alike() -> None:
    ids = [f"é{number}" for number in range(50)]
    other = [unicodedata.normalize("NFD", sample_id) for sample_id in ids]
    assert drawn(other, 20) == [unicodedata.normalize("NFD", sample_id) for sample_id in drawn(ids, 20)]
