"""Work that threads do ahead of whoever uses it: in order, a few at a time, in the caller's context."""

from __future__ import annotations

import threading
from contextvars import ContextVar

import numpy as np
import pytest

from bench.contracts import Sample, UserError
from bench.runtime import ahead as ahead_module
from bench.runtime.ahead import ahead, in_order

TOLD: ContextVar[str] = ContextVar("told", default="")


@pytest.mark.parametrize(("threads", "at_a_time"), [(1, 1), (2, 1), (3, 4), (4, 100)])
def test_results_come_in_order(threads: int, at_a_time: int) -> None:
    assert list(ahead(lambda item: item * item, range(50), threads, at_a_time=at_a_time)) == [n * n for n in range(50)]
    assert list(ahead(str, [], threads, at_a_time=at_a_time)) == []


def test_no_more_are_under_way_than_are_to_be() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        return item

    for used, item in enumerate(ahead(work, range(100), 2)):
        assert item == used and max(begun) <= used + 3
    assert sorted(begun) == list(range(100))


def test_an_error_is_raised_in_its_place_and_ends_all() -> None:
    before = threading.active_count()

    def work(item: int) -> int:
        if item == 5:
            raise UserError("wrong", item, "leave it")
        return item

    results = ahead(work, range(10**9), 2)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(UserError, match="wrong"):
        next(results)
    assert threading.active_count() == before


def test_who_stops_early_leaves_no_thread() -> None:
    before = threading.active_count()
    results = ahead(str, range(10**9), 3)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_the_callers_context_is_the_threads() -> None:
    token = TOLD.set("here")
    try:
        assert set(ahead(lambda _: TOLD.get(), range(8), 2)) == {"here"}
    finally:
        TOLD.reset(token)


class Split:
    """Samples that say which thread has read them."""

    name, split = "toy", "test"

    def __init__(self) -> None:
        self.readers: set[int] = set()

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int, /) -> Sample:
        self.readers.add(threading.get_ident())
        return Sample(str(index), np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3), np.bool_))


class Together(Split):
    side_by_side = True


@pytest.mark.parametrize("kind", [Split, Together])
def test_a_split_is_read_ahead_where_it_says_that_it_may_be(kind: type[Split], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead_module, "cores", lambda: 2)
    split = kind()
    assert [sample.id for sample in in_order(split)] == list("012345")
    assert (threading.get_ident() in split.readers) == (kind is Split)
