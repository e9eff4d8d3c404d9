"""A process that has imported what its children need, and is forked for each: some ms instead of seconds.

Only where there is a warden. What cannot be forked safely is not: a process with threads, whose locks nobody would
release in the copy, or with an open GPU.
"""

from __future__ import annotations

import atexit
import gc
import multiprocessing.resource_tracker
import os
import pickle
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.reduction import recvfds, sendfds
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, fromfd
from typing import Any, NoReturn

from loky.backend.process import LokyProcess

from bench.runtime.failures import summarised
from bench.runtime.warden import HAS_WARDEN, guarded

is_forked = False
"""Whether this process was forked from a server, and has its imports from there."""

_TASKS = Path("/proc/self/task")
_GONE = (EOFError, OSError)


class ForkServer:
    """Starts processes as copies of one that has called ``prepare``.

    It ends when this process does, and what it has started with it. Several threads may use it.

    Args:
        prepare: picklable; imports what the children will use.
        environment: variables over those of this process.
        parent: what it is forked from itself, with the same environment; None where it is started afresh.

    Attributes:
        problem: why it can start none, in one line; "" where it can.
    """

    def __init__(
        self, prepare: Callable[[], object], environment: Mapping[str, str], parent: ForkServer | None = None
    ) -> None:
        self._lock = threading.Lock()
        if not HAS_WARDEN:
            self.problem = "only Linux has a warden"
            return
        self._connection, theirs = multiprocessing.Pipe()
        watched, self._lifeline = multiprocessing.Pipe(duplex=False)
        start = partial(start_afresh, environment) if parent is None else parent.start
        self._process = start(theirs, watched, pickle.dumps(_serve), pickle.dumps(prepare))
        try:
            self.problem = self._connection.recv()
        except _GONE:
            self.problem = "it died while it was prepared"
        if self.problem:
            self.close()

    def start(self, connection: Connection, lifeline: Connection, *begin: Any) -> Forked:
        """A process that runs `bench.runtime.warden.guarded` with these arguments; both connections are closed here.

        Raises:
            OSError: the server is gone.
        """
        status, theirs = multiprocessing.Pipe(duplex=False)
        with self._lock:
            self._connection.send(begin)
            with fromfd(self._connection.fileno(), AF_UNIX, SOCK_STREAM) as channel:
                sendfds(channel, [each.fileno() for each in (connection, lifeline, theirs)])
        for each in (connection, lifeline, theirs):
            each.close()
        return Forked(status)

    def close(self) -> None:
        """End it. Children that are at work end, too."""
        if HAS_WARDEN:
            self._connection.close()
            self._lifeline.close()
            self._process.join()


class Forked:
    """A process that a server has started, as `multiprocessing.Process` tells of one."""

    def __init__(self, status: Connection) -> None:
        self._status, self._code = status, None
        self._lock = threading.Lock()
        try:
            self.pid: int = status.recv()
        except _GONE:
            self.pid, self._code = 0, -signal.SIGKILL  # there was no memory for it

    @property
    def exitcode(self) -> int | None:
        self.join(0)
        return self._code

    def join(self, timeout: float | None = None) -> None:
        with self._lock, suppress(OSError):
            if self._code is None and self._status.poll(timeout):
                try:
                    self._code = self._status.recv()
                except _GONE:
                    self._code = -signal.SIGKILL  # its warden was killed, and it with that

    def terminate(self) -> None:
        if self.exitcode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)


def start_afresh(environment: Mapping[str, str], connection: Connection, lifeline: Connection, *begin: Any) -> Any:
    """A process that imports all it needs and runs `guarded` with these arguments; both connections are closed here.

    Args:
        environment: variables over those of this process.
    """
    process = LokyProcess(target=guarded, args=(connection, lifeline, *begin), env=dict(environment))
    with _no_interrupt():
        process.start()
    connection.close()
    lifeline.close()
    return process


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """What a process started in the block inherits: no Ctrl-C while it imports."""
    multiprocessing.resource_tracker.ensure_running()  # would unblock Ctrl-C when the first process starts it
    # Blocked, not ignored: one that comes now reaches this process a moment later.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT]) if hasattr(signal, "pthread_sigmask") else None
    try:
        yield
    finally:
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _serve(connection: Connection, prepare: bytes) -> None:
    """The life of a server: what is wrong with it, then a process for each request."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(2, 1)
    try:
        ready = pickle.loads(prepare)  # imports of ours
        _fork_once()
        before = _native_threads()
        ready()
        problem = _problem(before)
    except BaseException as error:
        # A plug-in may raise anything; a process that is started afresh tells it.
        problem = summarised(error) or "it raised"
    connection.send(problem)
    gc.collect()
    gc.freeze()  # else the first collection in a child copies all that is shared
    with suppress(*_GONE), fromfd(connection.fileno(), AF_UNIX, SOCK_STREAM) as channel:
        while True:
            begin = connection.recv()
            descriptors = recvfds(channel, 3)
            with suppress(OSError):
                if not _fork():
                    channel.close()
                    connection.close()
                    _become(descriptors, *begin)
            for each in descriptors:
                os.close(each)
            _reap()


def _become(descriptors: list[int], live: bytes, *arguments: Any) -> NoReturn:
    """In a new process: all of its life. It ends as Python ends one that it has forked, which frees nothing."""
    global is_forked
    code: Any = 1
    try:
        is_forked = True
        for each in descriptors:
            os.set_inheritable(each, False)
        _seed()
        theirs, watched, status = (Connection(each) for each in descriptors)
        status.send(os.getpid())
        guarded(theirs, watched, live, *arguments, told=status)
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    with suppress(BaseException):
        atexit._run_exitfuncs()  # e.g. temporary folders that are to be removed
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


def _reap() -> None:
    """Those that have ended; each is told by a pipe of its own."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _seed() -> None:
    """What is drawn without a seed is another draw in each process, as in one that was started afresh."""
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    if "torch" in sys.modules:
        sys.modules["torch"].seed()


def _problem(before: int) -> str:
    if threading.active_count() > 1:
        return "an import has started a thread"
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized():
        return "an import has opened the GPU"
    _fork_once()
    if _native_threads() > before:
        return "an import has started native threads"
    return ""


def _fork_once() -> None:
    """Libraries that know of forks end their threads now: what is counted then are those of others."""
    if child := _fork():
        os.waitpid(child, 0)
    else:
        os._exit(0)


def _fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which were looked for
        return os.fork()


def _native_threads() -> int:
    return sum(1 for _ in _TASKS.iterdir())
