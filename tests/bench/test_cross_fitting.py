"""Folds, and the choice by one standard error, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cross_fitting import folds, one_standard_error

IDS = st.lists(st.text(min_size=1), min_size=1, max_size=40, unique=True)


@given(IDS, st.integers(1, 8), st.integers(0, 5), st.randoms())
def test_folds_are_even_drawn_by_the_seed_and_the_same_in_any_order(
    ids: list[str], count: int, seed: int, shuffler: object
) -> None:
    found = folds(ids, count, seed)
    sizes = np.bincount(found, minlength=min(count, len(ids)))
    assert len(sizes) == min(count, len(ids)) and sizes.max() - sizes.min() <= 1 and sizes.min() >= 1
    mixed = list(ids)
    shuffler.shuffle(mixed)  # type: ignore[attr-defined]
    assert dict(zip(mixed, folds(mixed, count, seed), strict=True)) == dict(zip(ids, found, strict=True))


def test_folds_follow_the_seed_and_not_the_alphabet() -> None:
    ids = [f"{number:03}" for number in range(100)]
    one, other = folds(ids, 4, 0), folds(ids, 4, 1)
    assert not np.array_equal(one, other)
    assert len(set(one[:25])) == 4


def test_the_simplest_within_one_standard_error_of_the_best() -> None:
    # Behind the best by 0.2 +- 0.2 / sqrt(2) * ... : 4 samples, differences 0, 0, 0, 0.8: mean 0.2, error 0.2.
    best = np.array([0.9, 0.9, 0.9, 0.9])
    within, beyond = np.array([0.9, 0.9, 0.9, 0.1]), np.array([0.7, 0.7, 0.8, 0.7])
    assert one_standard_error(np.stack([within, beyond, best])) == 0
    assert one_standard_error(np.stack([beyond, within, best])) == 1
    assert one_standard_error(np.stack([beyond, best])) == 1
    assert one_standard_error(np.stack([best, best, beyond])) == 0


@given(st.integers(2, 30), st.integers(0, 99))
def test_a_best_option_that_stands_first_is_taken(count: int, seed: int) -> None:
    scores = np.random.default_rng(seed).random((3, count))
    order = np.argsort(-scores.mean(axis=1))
    assert one_standard_error(scores[order]) == 0
    chosen = one_standard_error(scores)
    behind = scores[order[0]] - scores[chosen]
    assert behind.mean() <= behind.std(ddof=1) / np.sqrt(count) + 1e-12
    assert pytest.approx(scores[order[0]].mean()) == scores.mean(axis=1).max()
