"""``kill -9`` at any file operation, and frozen processes: bit-equal when run again, and no file left over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bench.store import RUNS, Store
from tests.bench.conftest import Toy
from tests.bench.store import killed
from tests.bench.store.test_damage import numbers


@pytest.mark.parametrize(
    ("step", "last", "at_random"),
    [(23, 1000, 2), pytest.param(1, 1000, 100, marks=pytest.mark.slow)],
)
def test_a_killed_run_ends_as_one_that_was_not(
    toy: Toy, tmp_path: Path, step: int, last: int, at_random: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = str(Path(__file__).parents[3])
    environment = os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(killed.__file__), str(step), str(last), str(at_random)]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    told = [json.loads(line) for line in output.splitlines()]
    assert len(told) > 5
    assert [line for line in told if line[1]] == []


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    parent = psutil.Process(process.pid)
    return [parent, *parent.children(recursive=True)]


def begun(folder: Path) -> bool:
    """The second, slow cell has its first record."""
    done = [json.loads(path.read_text())["key"] for path in folder.glob("store/cells/*/*__identity__*.1.json")]
    # What the first has worked in is removed after it is done.
    logs = [log for log in folder.glob("store/work/cell-*/records.jsonl") if done and done[0] not in log.parent.name]
    return any(log.stat().st_size for log in logs)


def stamps(store: Path) -> dict[Path, int]:
    """When each file was written last, but for the logs of runs."""
    files = (path for path in store.rglob("*") if path.is_file() and (store / RUNS) not in path.parents)
    return {path: path.stat().st_mtime_ns for path in files}


FROZEN = """
import sys, time
import bench
from bench.store import leases
leases.EXPIRES, leases.BEAT = 1.0, 0.2
dataset = "folder[images=images,masks=masks,val=0,test=1]"  # it takes some seconds
bench.run(dataset=[dataset], base=["maps[path=maps]"], refiner=["half[wrong=dawdles]"], store="store", device="cpu",
          engine=sys.argv[1])
"""


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("engine", ["inline", "local"])
def test_who_is_frozen_past_its_expiry_and_wakes_up_overwrites_nothing(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", FROZEN, engine]
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)

    first = start()
    deadline = time.monotonic() + 90
    while not begun(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.02)
    for process in family(first):
        process.suspend()
    second = start()
    said = second.communicate(timeout=120)[1]
    assert second.returncode == 0 and "silent for 1 s" in said, said
    before = stamps(tmp_path / "store")
    expected = numbers(tmp_path / "store")
    for process in family(first):
        process.resume()
    late = first.communicate(timeout=120)[1]
    assert first.returncode == 0 and "another process has taken over" in late, late
    after = stamps(tmp_path / "store")
    assert after == before
    assert numbers(tmp_path / "store").keys() == expected.keys() == {"identity", "half[wrong=dawdles]"}
    assert Store(tmp_path / "store").objects.names("leases/") == []
