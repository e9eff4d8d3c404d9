"""A run that is told to end (Ctrl-C, ``kill``, a closed terminal, the end of a cluster's job) ends in one way."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from bench.runtime.failures import SignalledError

_SIGNALS = [signal.Signals[name] for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextmanager
def stopping() -> Iterator[None]:
    """In the block SIGTERM and SIGHUP raise `SignalledError`, a KeyboardInterrupt: what began is put in order.

    One that is ignored when the block begins stays so (``nohup``). A second one changes nothing: it finds the first at
    work. Outside the main thread nothing is done, as Python calls no handlers there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    terminals = [number for number in (1, 2) if _is_terminal(number)]

    def stop(number: int, frame: FrameType | None) -> None:
        for one in handled:
            signal.signal(one, signal.SIG_IGN)
        if number == getattr(signal, "SIGHUP", None):
            _write_nowhere(terminals)
        raise SignalledError(number)

    handled = {one: before for one in _SIGNALS if (before := signal.getsignal(one)) == signal.SIG_DFL}
    for one in handled:
        signal.signal(one, stop)
    try:
        yield
    finally:
        for one, before in handled.items():
            signal.signal(one, before)


def _is_terminal(number: int) -> bool:
    with suppress(OSError):
        return os.isatty(number)
    return False


def _write_nowhere(numbers: list[int]) -> None:
    """A terminal that is closed refuses what is written to it, and the last words of a run must not end it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in numbers:
        os.dup2(nowhere, number)
    os.close(nowhere)
