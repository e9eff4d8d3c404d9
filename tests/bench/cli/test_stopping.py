"""Ctrl-C, SIGTERM and a closed terminal end a run in one way, and the same command goes on."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.store import Store
from tests.bench.conftest import Toy

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no such signals here")


def command(toy: Toy, engine: str = "local") -> list[str]:
    dataset = toy.dataset.replace("]", ",val=0.1,test=0.8]")
    options = ["--dataset", dataset, "--base", toy.base, "--refiner", "half[wrong=dawdles]", "--device", "cpu"]
    return [sys.executable, "-m", "bench.cli", "run", *options, "--store", "store", "--engine", engine]


def started(toy: Toy, tmp_path: Path, engine: str = "local", **options: Any) -> subprocess.Popen[bytes]:
    """A run that is at its slow cell."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), *sys.path])}
    process = subprocess.Popen(command(toy, engine), env=environment, cwd=tmp_path, **options)
    deadline = time.monotonic() + 120
    while not at_the_slow_cell(tmp_path / "store"):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    return process


def at_the_slow_cell(store: Path) -> bool:
    """The first cell is done, and the second has its first record."""
    done = store.is_dir() and any(cell.status == "done" for cell in Store(store).readable()[0])
    return done and any(log.stat().st_size for log in store.glob("work/cell-*/records.jsonl"))


def last_line(tmp_path: Path) -> dict[str, Any]:
    folder = Store(tmp_path / "store").run_folders()[0]
    found: dict[str, Any] = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])
    return found


def ended(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=10)[1]


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(("name", "engine"), [("SIGINT", "inline"), ("SIGTERM", "local"), ("SIGHUP", "inline")])
def test_a_signal_ends_a_run_that_can_be_gone_on_with(toy: Toy, tmp_path: Path, name: str, engine: str) -> None:
    process = started(toy, tmp_path, engine, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    family = psutil.Process(process.pid).children(recursive=True)
    number = signal.Signals[name]
    process.send_signal(number)
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 128 + number
    assert "bench: interrupted; the same command goes on" in said.splitlines()[-1] and "Traceback" not in said
    assert ended(family)
    store = Store(tmp_path / "store")
    assert store.leases.holdings() == []
    assert last_line(tmp_path).items() >= {"event": "ended", "outcome": "interrupted", "signal": name}.items()
    (before,) = (tmp_path / "store").glob("work/cell-*/records.jsonl")
    assert before.read_text().count("\n") >= 1
    if name == "SIGTERM":
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), *sys.path])}
        subprocess.run(command(toy, "inline"), env=environment, cwd=tmp_path, check=True, capture_output=True)
        assert {cell.status for cell in store.manifests()} == {"done"} and last_line(tmp_path)["outcome"] == "done"


@pytest.mark.usefixtures("plugins")
def test_with_nohup_a_closed_terminal_ends_nothing(toy: Toy, tmp_path: Path) -> None:
    def ignoring() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = started(
        toy, tmp_path, "inline", preexec_fn=ignoring, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=60) == 0 and last_line(tmp_path)["outcome"] == "done"


@pytest.mark.usefixtures("plugins")
def test_a_terminal_that_is_closed_ends_the_run_and_all_that_it_started(toy: Toy, tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    leader, follower = pty.openpty()

    def on_the_terminal() -> None:
        import fcntl
        import termios

        os.setsid()
        fcntl.ioctl(follower, termios.TIOCSCTTY, 0)

    closed = threading.Event()
    window = threading.Thread(target=read_all, args=[leader, closed])
    window.start()
    try:
        process = started(toy, tmp_path, stdin=follower, stdout=follower, stderr=follower, preexec_fn=on_the_terminal)
        family = psutil.Process(process.pid).children(recursive=True)
    finally:
        closed.set()
        window.join()
        os.close(follower)
        os.close(leader)  # as a window that is closed: the kernel sends SIGHUP, and every write fails
    assert process.wait(timeout=60) == 128 + signal.SIGHUP
    assert ended(family) and Store(tmp_path / "store").leases.holdings() == []
    assert last_line(tmp_path)["signal"] == "SIGHUP"


def read_all(terminal: int, closed: threading.Event) -> None:
    """What is written to a terminal that nobody reads from soon waits for ever."""
    while not closed.is_set():
        if select.select([terminal], [], [], 0.05)[0]:
            os.read(terminal, 65536)
