"""Processes that are forked from a prepared one: they have its imports. How they end: `test_child`."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.runtime.child import END, Child, Inbox
from bench.runtime.failures import DiedError
from bench.runtime.fork_server import ForkServer
from tests.bench.crews import leaves
from tests.bench.runtime.test_child import _alive

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a warden")


def prepares() -> None:
    import wave  # noqa: F401  # a module that nothing else here imports


def starts_a_thread() -> None:
    threading.Thread(target=time.sleep, args=[60], daemon=True).start()


def starts_native_threads() -> None:
    import torch

    torch.set_num_threads(4)
    torch.zeros(10**6).sin().sum()  # OpenMP keeps its threads


def raises() -> None:
    raise ZeroDivisionError("while it was imported")


def tells(inbox: Inbox) -> Iterator[Any]:
    import numpy as np

    yield "wave" in sys.modules, os.getpid(), float(np.random.random())


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    found = ForkServer(prepares, {})
    assert found.problem == ""
    yield found
    found.close()


def test_a_child_has_what_was_imported_and_draws_of_its_own(server: ForkServer) -> None:
    told = []
    for _ in range(3):
        child = Child(tells, server=server)
        told.append(child.receive(60))
        assert child.receive(60) is END
        child.end()
    assert all(has for has, *_ in told)
    assert len({pid for _, pid, _ in told}) == len({drawn for *_, drawn in told}) == 3


def test_with_the_server_its_children_end(tmp_path: Path) -> None:
    server = ForkServer(prepares, {})
    child = Child(leaves, tmp_path, "stop", server=server)
    left = child.receive(60)
    child.send("end")
    server.close()
    deadline = time.monotonic() + 20
    while any(map(_alive, left)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_alive, left))
    child.end(0.0)


def test_a_killed_server_is_no_end_for_who_asks_it() -> None:
    server = ForkServer(prepares, {})
    for process in psutil.Process(server._process.pid).children(recursive=True):
        process.kill()
    with pytest.raises((DiedError, OSError)):
        Child(tells, server=server).receive(60)
    server.close()


@pytest.mark.parametrize(
    ("prepare", "problem"),
    [
        (starts_a_thread, "an import has started a thread"),
        (starts_native_threads, "an import has started native threads"),
        (raises, "ZeroDivisionError: while it was imported"),
    ],
)
def test_what_cannot_be_forked_is_not(prepare: Any, problem: str) -> None:
    assert ForkServer(prepare, {}).problem == problem
