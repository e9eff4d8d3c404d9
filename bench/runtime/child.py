"""A fresh Python process beside this one, and a pipe to it.

A stage, a worker, code that may hang or die: whatever runs beside this process is a `Child`. It does not import this
process's main module (loky starts it), so that a script without a ``__main__`` guard, standard input, a notebook and
a test can all have one.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import psutil

from bench.contracts import UserError
from bench.runtime.failures import UNHEARD, DiedError, EscapeError, Stopped, summarised
from bench.runtime.fork_server import ForkServer, start_afresh
from bench.runtime.warden import HAS_WARDEN, end_session

Inbox = Iterator[Any]
"""What the child is sent, until the parent closes the pipe."""

END = object()
"""In place of an answer: there is none left."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""Environment of a process whose libraries compute with one native thread."""

GRACE = 5.0
"""Seconds that a child has to remove its half-written file when it is stopped, and to leave once it has answered."""

LOOK = 1.0
"""Seconds between two looks at whether a child without an answer still runs: others may hold its pipe open."""

_STARTED, _SAID, _ANSWER, _ERROR, _END = "started", "said", "answer", "error", "end"
_CLOSED = (EOFError, BrokenPipeError, ConnectionResetError)
"""What a pipe raises whose other end is closed."""


class Child:
    """A process that calls ``function(inbox, *arguments)`` and sends back what that yields.

    It has a session of its own, which Ctrl-C does not reach, and ends when this process does; all that it has started
    ends with it, see `bench.runtime.warden`. It prints to stderr only.

    Args:
        function: of a module; what it yields, the arguments and what is sent must be picklable.
        environment: variables over those of this process.
        server: what it is forked from; else it is started afresh.
        heard: is called, while this process waits for an answer, with what the child has `say`-ed meanwhile.

    Attributes:
        connection: ready, to `multiprocessing.connection.wait`, when there is something to `receive`.
    """

    def __init__(
        self,
        function: Callable[..., Iterable[Any]],
        *arguments: Any,
        environment: Mapping[str, str] | None = None,
        server: ForkServer | None = None,
        heard: Callable[[Any], None] | None = None,
    ) -> None:
        self._heard = heard
        self.connection, theirs = multiprocessing.Pipe()
        watched, self._lifeline = multiprocessing.Pipe(duplex=False)
        # Pickled here and not by the process's start: the child unpickles it, and so imports, when it can answer.
        work = pickle.dumps((function, arguments))
        begin = (theirs, watched, pickle.dumps(_live), work)
        start = partial(start_afresh, environment or {}) if server is None else server.start
        self._process: Any = start(*begin)
        self._started = False

    def send(self, item: object) -> None:
        """Put an item into its inbox; where it has died, `receive` tells."""
        with suppress(*_CLOSED):
            self.connection.send(item)

    def receive(self, seconds: float | None = None) -> Any:
        """Its next answer; `END` once the function has returned.

        Args:
            seconds: the longest time to wait, the start of the process aside; it begins anew with all that it says.

        Raises:
            DiedError: it ended without an answer.
            TimeoutError: the time is over.
            EscapeError: the function raised what is no Exception: it called ``sys.exit``, say.
            Exception: whatever else the function raised; but for a UserError with the child's traceback as a note, and
                as RuntimeError where it cannot be pickled.
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

    def kill(self) -> None:
        """End it now, with all that it has started; from any thread. `end` is still to be called."""
        self._lifeline.close()
        if not HAS_WARDEN:
            self._process.terminate()

    def end(self, grace: float = GRACE) -> None:
        """Let it end: its inbox is closed. What of it has not ended after ``grace`` seconds is killed."""
        self.connection.close()
        self._process.join(grace)
        self._lifeline.close()
        self._process.join(GRACE)
        if self._process.exitcode is None:
            with suppress(psutil.NoSuchProcess):
                psutil.Process(self._process.pid).kill()  # loky's processes have no kill()
            self._process.join(GRACE)
        end_session(self._process.pid)

    def _message(self, seconds: float | None) -> tuple[str, Any]:
        while True:
            try:
                self._await(seconds)
                kind, value = self.connection.recv()
            except _CLOSED:
                self._process.join(GRACE)
                raise DiedError(self._process.exitcode) from None
            if kind != _SAID:
                return kind, value
            if self._heard is not None:
                self._heard(value)

    def _await(self, seconds: float | None) -> None:
        end = float("inf") if seconds is None else time.monotonic() + seconds
        while not self.connection.poll(max(0.0, min(LOOK, end - time.monotonic()))):
            if self._process.exitcode is not None and not self.connection.poll():
                raise EOFError
            if time.monotonic() >= end:
                raise TimeoutError(f"no answer within {seconds:g} s")


def say(item: object) -> None:
    """In a child, from any thread: let the parent hear something that is no answer. Elsewhere it goes nowhere."""
    if _up is not None:
        with suppress(_GoneError):
            _up((_SAID, item))


_up: Callable[[tuple[str, Any]], None] | None = None
"""In a child: sends to the parent."""


class _GoneError(Exception):
    """The parent does not listen any more."""


def _live(connection: Connection, work: bytes) -> None:
    global _up
    lock = threading.Lock()

    def send(message: tuple[str, Any]) -> None:
        with lock:  # a bar is moved by a thread of its own
            try:
                connection.send(message)
            except _CLOSED:
                raise _GoneError from None
            except OSError:
                os._exit(UNHEARD)  # the pipe was closed here

    _up = send
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(2, 1)
    with suppress(_GoneError):
        send((_STARTED, None))
        try:
            function, arguments = pickle.loads(work)
            for answer in function(_inbox(connection), *arguments):
                send((_ANSWER, answer))
        except (_GoneError, Stopped):
            raise
        except BaseException as error:
            # A plug-in may raise anything; the parent raises it again.
            send((_ERROR, _portable(error)))
        else:
            send((_END, None))


def _inbox(connection: Connection) -> Inbox:
    with suppress(*_CLOSED):
        while True:
            yield connection.recv()


def _portable(error: BaseException) -> Exception:
    """The error with its traceback as a note; as a RuntimeError where it cannot be pickled."""
    if isinstance(error, UserError):
        return UserError(error.what, error.where, error.fix)  # whatever class of a plug-in's it is
    note = "in a process of its own:\n" + "".join(traceback.format_exception(error))
    found = error if isinstance(error, Exception) else EscapeError.of(error)
    found.add_note(note)
    try:
        pickle.loads(pickle.dumps(found))
    except Exception:
        found = RuntimeError(summarised(error))
        found.add_note(note)
    return found
