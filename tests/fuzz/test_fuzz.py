"""The slow suite's 3,000 damaged inputs, and that the harness finds what it is there to find."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench.contracts import UserError
from bench.runtime.isolation import isolated
from tests.conftest import REPOSITORY
from tests.fuzz import harness, kinds


@pytest.mark.slow
@pytest.mark.parametrize("kind", kinds.names())
def test_each_input_is_read_or_refused(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "tests.fuzz", kind]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, errors="replace")
    with capsys.disabled():
        print(f"\n{done.stdout}", end="")
    assert done.returncode == 0, done.stderr[-2000:]


def reads() -> None:
    Path("here").write_text("x")


def refuses() -> None:
    raise UserError("no", "file", "mend it\x1b\nnow")


def breaks() -> None:
    raise KeyError("x")


def hangs() -> None:
    while True:
        with contextlib.suppress(Exception):
            time.sleep(0.01)


def takes_memory() -> None:
    bytearray(b"x" * 2**27)


def writes_elsewhere() -> None:
    Path("../there").write_text("x")


def makes_a_folder_elsewhere() -> None:
    Path("../folder").mkdir()


DOORS: dict[Callable[[], None], str] = {
    reads: "read",
    refuses: "refused",
    breaks: "KeyError",
    hangs: "longer than",
    takes_memory: "GiB of memory",
    writes_elsewhere: 'outside of the target: ["open ',
    makes_a_folder_elsewhere: 'outside of the target: ["os.mkdir ',
}


def verdict(door: Callable[[], None]) -> Iterator[str]:
    """In a process of its own: the harness watches that for the rest of its life."""
    harness.SECONDS, harness.MEMORY = 1, 2**26
    kind = harness.Kind(1, lambda rng, folder: None, lambda made: harness.asked(door))
    tally = harness.run("toy", kind, first=7, count=1)
    yield "read" if tally.read else "refused" if tally.refused else tally.failures[0]


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_the_harness_tells_apart(door: Callable[[], None]) -> None:
    (found,) = isolated(verdict, door, seconds=60)
    assert DOORS[door] in found
    if "Error" in found or "Traceback" in found:
        assert found.startswith("python -m tests.fuzz toy --seed 7 --count 1\n")


@pytest.mark.parametrize("kind", ["archives", "arguments"])
def test_a_seed_gives_the_same_input_again(kind: str, tmp_path: Path) -> None:
    made = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        given = kinds.kind(kind).make(random.Random(f"{kind} 3"), folder)
        made.append(given.read_bytes() if isinstance(given, Path) else given)
    assert made[0] == made[1]
