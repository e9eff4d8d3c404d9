"""A fresh Python process beside this one, and a pipe to it.

A stage, a worker, code that may hang or die: whatever runs beside this process is a `Child`. It does not import this
process's main module (loky starts it), so that a script without a ``__main__`` guard, standard input, a notebook and
a test can all have one.
"""

from __future__ import annotations

import multiprocessing.resource_tracker
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Any

import psutil
from loky.backend.process import LokyProcess

from bench.contracts import UserError

Inbox = Iterator[Any]
"""What the child is sent, until the parent closes the pipe."""

END = object()
"""In place of an answer: there is none left."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""Environment of a process whose libraries compute with one native thread."""

GRACE = 5.0
"""Seconds that a child has to remove its half-written file when it is stopped."""

_STARTED, _SAID, _ANSWER, _ERROR, _END = "started", "said", "answer", "error", "end"
_CLOSED = (EOFError, BrokenPipeError, ConnectionResetError)
"""What a pipe raises whose other end is closed."""


class DiedError(Exception):
    """The process ended without an answer; the message says how, e.g. ``"died with exit code -11"``."""

    def __init__(self, exitcode: int | None) -> None:
        super().__init__(f"died with exit code {exitcode}")


class Child:
    """A process that calls ``function(inbox, *arguments)`` and sends back what that yields.

    It ends when this process does, leaves Ctrl-C, which reaches both, to this one, and prints to stderr only.

    Args:
        function: of a module; what it yields, the arguments and what is sent must be picklable.
        environment: variables over those of this process.
        heard: is called, while this process waits for an answer, with what the child has `say`-ed meanwhile.

    Attributes:
        connection: ready, to `multiprocessing.connection.wait`, when there is something to `receive`.
    """

    def __init__(
        self,
        function: Callable[..., Iterable[Any]],
        *arguments: Any,
        environment: Mapping[str, str] | None = None,
        heard: Callable[[Any], None] | None = None,
    ) -> None:
        self._heard = heard
        self.connection, theirs = multiprocessing.Pipe()
        watched, self._lifeline = multiprocessing.Pipe(duplex=False)
        # Pickled here and not by the process's start: the child unpickles it, and so imports, when it can answer.
        work = pickle.dumps((function, arguments))
        self._process = LokyProcess(target=_live, args=(theirs, watched, work), env=dict(environment or {}))
        with _no_interrupt():
            self._process.start()
        theirs.close()
        watched.close()
        self._started = False

    def send(self, item: object) -> None:
        """Put an item into its inbox; where it has died, `receive` tells."""
        with suppress(*_CLOSED):
            self.connection.send(item)

    def receive(self, seconds: float | None = None) -> Any:
        """Its next answer; `END` once the function has returned.

        Args:
            seconds: the longest time to wait, the start of the process aside.

        Raises:
            DiedError: it ended without an answer.
            TimeoutError: the time is over.
            Exception: whatever the function raised; but for a UserError with the child's traceback as a note, and as
                RuntimeError where it cannot be pickled.
        """
        if not self._started:
            self._message(None)
            self._started = True
        kind, value = self._message(seconds)
        if kind == _ERROR:
            raise value
        return END if kind == _END else value

    def stop(self) -> None:
        """Ask it to end now; `end` waits for that."""
        self._process.terminate()

    def end(self, grace: float = GRACE) -> None:
        """Let it end: its inbox is closed. One that has not ended after ``grace`` seconds is killed."""
        self.connection.close()
        self._process.join(grace)
        if self._process.is_alive():
            with suppress(psutil.NoSuchProcess):
                psutil.Process(self._process.pid).kill()  # loky's processes have no kill()
            self._process.join()
        self._lifeline.close()

    def _message(self, seconds: float | None) -> tuple[str, Any]:
        while True:
            try:
                if not self.connection.poll(seconds):
                    raise TimeoutError(f"no answer within {seconds:g} s")
                kind, value = self.connection.recv()
            except _CLOSED:
                self._process.join()
                raise DiedError(self._process.exitcode) from None
            if kind != _SAID:
                return kind, value
            if self._heard is not None:
                self._heard(value)


def say(item: object) -> None:
    """In a child, from any thread: let the parent hear something that is no answer. Elsewhere it goes nowhere."""
    if _up is not None:
        with suppress(*_CLOSED):
            _up((_SAID, item))


_up: Callable[[tuple[str, Any]], None] | None = None
"""In a child: sends to the parent."""


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


def _live(connection: Connection, lifeline: Connection, work: bytes) -> None:
    global _up
    lock = threading.Lock()

    def send(message: tuple[str, Any]) -> None:
        with lock:  # a bar is moved by a thread of its own
            connection.send(message)

    _up = send
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with, args=[lifeline], daemon=True).start()
    os.dup2(2, 1)
    with suppress(*_CLOSED):
        send((_STARTED, None))
        for message in _messages(connection, work):
            send(message)


def _die_with(lifeline: Connection) -> None:
    """Where the parent is killed, a child that wrote on would meet the one that resumes its work."""
    wait([lifeline])
    os._exit(1)


def _messages(connection: Connection, work: bytes) -> Iterator[tuple[str, Any]]:
    try:
        function, arguments = pickle.loads(work)
        for answer in function(_inbox(connection), *arguments):
            yield _ANSWER, answer
        yield _END, None
    except Exception as error:
        # A plug-in may raise anything; the parent raises it again.
        yield _ERROR, _portable(error)


def _inbox(connection: Connection) -> Inbox:
    with suppress(*_CLOSED):
        while True:
            yield connection.recv()


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note; as a RuntimeError where it cannot be pickled."""
    if isinstance(error, UserError):
        return error
    note = "in a process of its own:\n" + "".join(traceback.format_exception(error))
    error.add_note(note)
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
        error.add_note(note)
    return error
