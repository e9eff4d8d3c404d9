"""Work on many items by threads of this process, in their order: for what waits for a disk, or decodes.

Decoders and numpy let other threads run meanwhile. Nothing is started and nothing is sent, so that a few items are
worth it; what is Python's own work is done by one thread at a time, and `bench.runtime.crew` has processes for that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import islice
from typing import Protocol, TypeVar

from bench.contracts import SideBySide
from bench.runtime.environment import cores

Item = TypeVar("Item")
Result = TypeVar("Result")
Read = TypeVar("Read", covariant=True)


class Readable(Protocol[Read]):
    """A `bench.contracts.Dataset` or `bench.contracts.MapDataset`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Read: ...


def in_order(split: Readable[Result]) -> Iterator[Result]:
    """All samples of a split, in order; while one is used the next ones are read, where the split allows that.

    Raises:
        UserError: as to read a sample.
    """
    together = isinstance(split, SideBySide) and split.side_by_side
    return ahead(split.__getitem__, range(len(split)), cores() if together else 1, at_a_time=2)


def ahead(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int, *, at_a_time: int = 1
) -> Iterator[Result]:
    """The result of each item, in the order of the items; what the work raises is raised in its place.

    Memory does not grow with their number: beside the result that is used, at most one more turn than there are
    threads is under way or waits.

    Args:
        work: is called in any thread, with the context of the caller, and has to be fit for it.
        threads: under 2, the work is done here, each item when it is asked for.
        at_a_time: items in a turn of a thread; a turn costs some 50 microseconds.
    """
    if threads < 2:
        yield from map(work, items)
        return
    context, rest = copy_context(), iter(items)
    waiting: deque[Future[list[Result]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            while turn := list(islice(rest, at_a_time)):
                waiting.append(pool.submit(context.copy().run, _each, work, turn))
                if len(waiting) > threads:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _each(work: Callable[[Item], Result], turn: Sequence[Item]) -> list[Result]:
    return [work(item) for item in turn]
