"""Nothing that a child has started outlives it: whatever it forks, and however that hides.

On Linux a warden stands between this process and the child. It runs no code of others, so that nothing can stop or kill
it by mistake: it waits for the child, ends all that the child has left, and then ends as the child did. It also ends
all of them when this process dies. Elsewhere what stays in the child's session is ended, which a daemon leaves.

Imports little, as the warden is forked from here before the libraries of the child have threads.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn

HAS_WARDEN = sys.platform == "linux"

PATIENCE = 5.0
"""Seconds that the kernel has to end a process which was killed."""

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def guarded(
    connection: Connection, lifeline: Connection, live: bytes, *arguments: Any, told: Connection | None = None
) -> None:
    """In a new process: call ``live(connection, *arguments)`` in a session of its own, guarded.

    Args:
        connection: the child's end of its pipe to the parent.
        lifeline: reaches its end when the parent dies or lets go of it: all that runs here is killed then.
        live: a pickled function, which is imported in the child alone.
        told: is sent the exit code of the child, where the parent is not this process's own.
    """
    if HAS_WARDEN:
        # What loses its parent becomes the warden's child, wherever it has put itself.
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        warden = os.getpid()
        if child := os.fork():
            connection.close()
            _watch(child, lifeline, told)
        if told is not None:
            told.close()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != warden:
            os._exit(1)
    if hasattr(os, "setsid"):
        os.setsid()  # a plug-in that signals its process group must not reach ours
    if not HAS_WARDEN:
        threading.Thread(target=_end_session_with, args=[lifeline], daemon=True).start()
    pickle.loads(live)(connection, *arguments)


def end_session(leader: int) -> None:
    """End what is left of the session of a child that has ended; for where there is no warden."""
    if not HAS_WARDEN and hasattr(os, "killpg"):
        with suppress(OSError):
            os.killpg(leader, signal.SIGKILL)


def _watch(child: int, lifeline: Connection, told: Connection | None) -> NoReturn:
    def hand_on(*_: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)

    # Of a terminal that is closed, as of Ctrl-C, the parent hears, too: what it does then, it tells by the lifeline.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, hand_on)
    threading.Thread(target=_end_all_with, args=[lifeline], daemon=True).start()
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == child:
            break
    _end_descendants()
    if told is not None:
        with suppress(OSError):
            told.send(os.waitstatus_to_exitcode(status))
    _end_as(status)


def _end_all_with(lifeline: Connection) -> None:
    wait([lifeline])
    _end_descendants()
    os._exit(1)


def _end_session_with(lifeline: Connection) -> None:
    """Where the parent is killed, a child that wrote on would meet the one that resumes its work."""
    wait([lifeline])
    if hasattr(os, "killpg"):
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _end_descendants() -> None:
    """Kill and reap until there is none; one whose parent dies meanwhile comes to us."""
    until = time.monotonic() + PATIENCE
    while _reap() and time.monotonic() < until:
        import psutil  # late: most children leave nothing

        with suppress(psutil.Error):
            for process in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    process.kill()
        time.sleep(0.005)


def _reap() -> bool:
    """Whether there are children left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _end_as(status: int) -> NoReturn:
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the child's own is enough
        with suppress(OSError, ValueError):
            signal.signal(-code, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.kill(os.getpid(), -code)
    os._exit(code if code >= 0 else 128 - code)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
