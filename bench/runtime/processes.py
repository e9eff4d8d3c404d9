"""Work on many items over several processes, one native thread each; memory does not grow with the items' number.

A worker is a fresh (spawned) process. It makes what it works with once, then gets one item at a time, so that no
more items are under way than there are workers.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from bench.contracts import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Item], Result]

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
GRACE = 5.0
"""Seconds that a worker has to remove its half-written file when it is stopped."""
CLOSED = (EOFError, BrokenPipeError, ConnectionResetError)
"""What a pipe raises whose other end is closed."""


@contextmanager
def crew(make: Callable[[], Work[Item, Result]], count: int) -> Iterator[Callable[[Iterable[Item]], Iterator[Result]]]:
    """A function that yields the result of each item, as the items are finished.

    With one worker the work is done here, in order, as by ``map(make(), items)``. With more, each process calls
    ``make`` once, all of them before the block is entered; they end with the block, or with this process.
    A script that calls this must keep its own work under ``if __name__ == "__main__"``, as spawned processes import it.

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
    workers: list[_Worker] = []
    try:
        with _environment_of_workers():
            for _ in range(count):
                workers.append(_start(make))
        for worker in workers:
            _answer(worker, "--workers")
        yield partial(_spread, workers)
    except BaseException:
        for worker in workers:
            worker.process.terminate()
        raise
    finally:
        _end(workers)


def follow_parent() -> None:
    """Make this process end when its parent does, and leave Ctrl-C, which reaches both, to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """Where the parent is killed, a child that wrote on would meet the one that resumes its work."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


@dataclass(frozen=True)
class _Worker:
    process: BaseProcess
    connection: Connection


def _start(make: Callable[[], Work[Any, Any]]) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(make, theirs))
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _spread(workers: Sequence[_Worker], items: Iterable[Item]) -> Iterator[Any]:
    """Hand each worker its next item when it has answered the last one."""
    rest = iter(items)
    busy: dict[Connection, tuple[_Worker, Item]] = {}

    def hand_next(worker: _Worker) -> None:
        for item in rest:
            busy[worker.connection] = (worker, item)
            with suppress(*CLOSED):  # it has died: reading its answer tells
                worker.connection.send(item)
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


def _answer(worker: _Worker, where: object) -> Any:
    try:
        result, error = worker.connection.recv()
    except CLOSED:
        worker.process.join()
        raise UserError(
            f"a worker process died with exit code {worker.process.exitcode}",
            where,
            "free memory or lower --workers (-9 is the out-of-memory killer), then run the command again: it resumes",
        ) from None
    if error is not None:
        raise error
    return result


def _end(workers: Sequence[_Worker]) -> None:
    """Wait for workers that have nothing more to do, or were terminated; kill those that do not listen."""
    for worker in workers:
        worker.connection.close()
    for worker in workers:
        worker.process.join(GRACE)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


@contextmanager
def one_thread() -> Iterator[None]:
    """What processes started in the block compute with: one native thread each."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _environment_of_workers() -> Iterator[None]:
    """What processes started in the block inherit: one native thread, and no Ctrl-C while they import."""
    resource_tracker.ensure_running()  # would unblock Ctrl-C when the first process starts it
    # Blocked, not ignored: one that comes now reaches this process a moment later.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT]) if hasattr(signal, "pthread_sigmask") else None
    try:
        with one_thread():
            yield
    finally:
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _serve(make: Callable[[], Work[Any, Any]], connection: Connection) -> None:
    """A worker's life: an answer for having made the work, then one for each item, until the pipe is closed."""
    follow_parent()
    # As an exception, so that files being written are removed on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    work, error = _attempt(make)
    _keep_to_one_thread()
    with suppress(*CLOSED):
        connection.send((None, error))
        while error is None:
            result, error = _attempt(partial(work, connection.recv()))
            connection.send((result, error))


def _attempt(step: Callable[[], Any]) -> tuple[Any, Exception | None]:
    try:
        return step(), None
    except Exception as error:
        # A plug-in may raise anything; the parent raises it again.
        return None, _portable(error)


def _keep_to_one_thread() -> None:
    """Libraries that count cores themselves, or were told another number while they were imported."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(1)


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note; as a RuntimeError where it cannot be pickled."""
    if isinstance(error, UserError):
        return error
    note = "in a worker process:\n" + "".join(traceback.format_exception(error))
    error.add_note(note)
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
        error.add_note(note)
    return error
