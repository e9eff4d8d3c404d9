"""Work on many items over several processes, one native thread each; memory does not grow with the items' number.

A worker makes what it works with once, then gets one item at a time, so that no more items are under way than there
are workers.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn, TypeVar

from bench.contracts import UserError
from bench.runtime.allocating import kept
from bench.runtime.child import ONE_THREAD, Child, Inbox
from bench.runtime.failures import DiedError, Stopped

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Item], Result]


@contextmanager
def crew(make: Callable[[], Work[Item, Result]], count: int) -> Iterator[Callable[[Iterable[Item]], Iterator[Result]]]:
    """A function that yields the result of each item, as the items are finished.

    With one worker the work is done here, in order, as by ``map(make(), items)``. With more, each process calls
    ``make`` once, all of them before the block is entered; they end with the block, or with this process.

    Args:
        make: makes the work. With several workers it, the items and the results must be picklable; an item's
            ``str`` names it in errors.
        count: processes; under 2, none.

    Raises:
        UserError: from the work, or a worker died.
        Exception: whatever else the work raised, with the worker's traceback as a note.
    """
    if count < 2:
        yield partial(map, make())
        return
    workers: list[Child] = []
    try:
        for _ in range(count):
            workers.append(Child(_serve, make, environment=ONE_THREAD | kept()))
        for worker in workers:
            _answer(worker, "--workers")
        yield partial(_spread, workers)
    except BaseException:
        for worker in workers:
            worker.stop()
        raise
    finally:
        for worker in workers:
            worker.connection.close()  # all of them now, so that they end side by side
        for worker in workers:
            worker.end()


def _spread(workers: Sequence[Child], items: Iterable[Item]) -> Iterator[Any]:
    """Hand each worker its next item when it has answered the last one."""
    rest = iter(items)
    busy: dict[Connection, tuple[Child, Item]] = {}

    def hand_next(worker: Child) -> None:
        for item in rest:
            busy[worker.connection] = (worker, item)
            worker.send(item)
            return

    for worker in workers:
        hand_next(worker)
    while busy:
        answered = wait(list(busy))
        for connection in [each for each in busy if each in answered]:
            worker, item = busy.pop(connection)
            result = _answer(worker, item)
            hand_next(worker)
            yield result


def _answer(worker: Child, where: object) -> Any:
    try:
        return worker.receive()
    except DiedError as died:
        raise UserError(f"a worker process {died}", where, died.fix) from None


def _serve(inbox: Inbox, make: Callable[[], Work[Any, Any]]) -> Iterator[Any]:
    """A worker's life: an answer for having made the work, then one for each item."""
    # As an exception, so that files being written are removed on the way out.
    signal.signal(signal.SIGTERM, _stop)
    work = make()
    _keep_to_one_thread()
    yield None
    for item in inbox:
        yield work(item)


def _stop(*_: object) -> NoReturn:
    raise Stopped(1)


def _keep_to_one_thread() -> None:
    """Libraries that count cores themselves, or were told another number while they were imported."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(1)
