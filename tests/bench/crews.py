"""What the tests let workers do; apart from them, as each worker imports it and must not wait for pytest and pandas."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.contracts import UserError
from bench.runtime.child import ONE_THREAD, say
from bench.runtime.files import replacing


def begins() -> Callable[[Any], Any]:
    import cv2
    import torch

    made = time.monotonic_ns()

    def work(item: Any) -> Any:
        if item == "who":
            time.sleep(0.2)  # so that the other one gets some of them
            threads = (torch.get_num_threads(), cv2.getNumThreads(), *(os.environ[name] for name in ONE_THREAD))
            return os.getpid(), made, threads
        return item * item

    return work


def misbehaves() -> Callable[[Any], Any]:
    def work(item: Any) -> Any:
        if isinstance(item, Path):
            with replacing(item) as path:
                path.write_text("half")
                time.sleep(60)
        if item == "user error":
            raise UserError("the map is torn", Path("maps/7.png"), "write it again")
        if item == "defect":
            raise ZeroDivisionError("of the plug-in")
        if item == "end of file":
            raise EOFError("of the plug-in's own file")
        if item == "unpicklable":
            raise type("Local", (Exception,), {})("a class that no other process knows")
        if item == "dies":
            os._exit(9)
        return item

    return work


def cannot_begin() -> Callable[[Any], Any]:
    raise UserError("no weights", "--checkpoint", "name them")


def dies_at_once() -> Callable[[Any], Any]:
    os._exit(3)


def leaves(inbox: Any, folder: Path, end: str) -> Iterator[Any]:
    """Starts a process and a daemon of its own; once it is sent something, it ends, one way or another."""
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], close_fds=False)
    if (first := os.fork()) == 0:
        os.setsid()
        if daemon := os.fork():
            (folder / "daemon").write_text(str(daemon))
            os._exit(0)
        time.sleep(300)  # holds the pipe to the parent open
    os.waitpid(first, 0)
    yield left.pid, int((folder / "daemon").read_text())
    next(inbox, None)
    if end == "crash":
        os._exit(7)
    if end == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if end == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    if end == "exit":
        sys.exit(3)


def ticks(inbox: Any, count: int, seconds: float) -> Iterator[Any]:
    """Says something every so many seconds, then nothing more."""
    for number in range(count):
        time.sleep(seconds)
        say(number)
    time.sleep(300)
    yield None
