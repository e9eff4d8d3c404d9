"""A plug-in that does wrong fails its own cells with a true reason; it changes no other number and leaves nothing."""

from __future__ import annotations

import os
import re
import time
import unicodedata
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from PIL import Image

import bench
from bench.cli import main
from bench.commands.run import RunResult
from bench.images import write_map
from bench.redaction import LONGEST
from bench.store import Store
from tests.bench.conftest import install
from tests.bench.records import METRIC_COLUMNS

MARK = "BAD_PLUGINS_OF"
"""A variable of this process, and of all that comes of it."""

STALL = 60
"""Seconds; on a busy machine a stage needs many to begin."""

WRITES = r"read-only.*bad.*must copy"
STALLED = r"made no progress within \d+ s, the limit.*--stall-limit"

REFINERS = {
    "raises": r"^ZeroDivisionError: red and a second line!+ \.\.\. !+$",
    "mute": r"^MuteError: \(it has no message that can be shown\)$",
    "exits": r"^the plug-in called sys\.exit\(3\)$",
    "exits-well": r"^the plug-in called sys\.exit\(0\)$",
    "exits-in-constructor": r"^the plug-in called sys\.exit\(0\)$",
    "raises-in-constructor": r"^ZeroDivisionError: in the constructor$",
    "interrupts": r"^the plug-in raised KeyboardInterrupt$",
    "generator-exit": r"^the plug-in raised GeneratorExit$",
    "stops-iteration": r"^the plug-in raised StopIteration$",
    "odd": r"^the plug-in raised Odd: not caught by except Exception$",
    "os-exit": r"^the process ended with exit code 0 and no result \(",
    "os-exit-7": r"^the process ended with exit code 7 and no result \(",
    "kills": r"^the process was killed by SIGKILL \(the out-of-memory killer, if you did not\)",
    "segfaults": r"^the process was killed by SIGSEGV \(",
    "aborts": r"^the process was killed by SIGABRT \(",
    "kills-group": r"^the process was killed by SIGKILL ",
    "kills-parent": r"^the process was killed by SIGKILL ",
    "hangs": STALLED,
    "forks-then-crashes": r"^the process ended with exit code 9 ",
    "daemon-then-crashes": r"^the process was killed by SIGSEGV ",
    "memory": r"^no memory is left, .*MemoryError: Unable to allocate 64",
    "gpu-memory": r"^no memory is left, OutOfMemoryError: CUDA out of memory\. Tried to allocate 2\.00 GiB\. \(bad",
    "recursion": r"^RecursionError: ",
    "closes-files": r"^the process lost its connection to bench: a plug-in must not close files",
    "writes-image": WRITES,
    "writes-map": WRITES,
    "sorts": WRITES,
    "writes-by-torch": r"^it has changed its input \(bad.*must copy",
    "nan": r"^a map with 480 NaN",
    "logits": r"^a map with values -\d.*logits",
    "shape": r"^returned float32 \(23, 20\), not a float32 map \(24, 20\)",
    "dtype": r"^returned float64 \(24, 20\), not",
    "array": r"^returned numpy\.ndarray, not a list for 1 image",
    "none": r"^returned NoneType, not a float32 map",
    "two": r"^returned 2 maps for 1 image",
    "empty": r"^returned 0 maps for 1 image",
    "masked": r"^returned numpy\.ma\.MaskedArray, not",
    "huge": r"^returned float32 \(1048576, 1048576\), not",
    "many": r"^returned 1000000 maps for 1 image",
    "goes-on": r"^goes on changing a map that it has returned",
}
UNTIDY = (
    "itself",
    "processes",
    "child",
    "comes-back-twice",
    "thread",
    "prints",
    "closes-output",
    "moves",
    "handles",
)
FEW = ("exits", "forks-then-crashes", "writes-map")


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    found = uuid.uuid4().hex
    monkeypatch.setenv(MARK, found)
    return found


@pytest.fixture(autouse=True)
def _none_is_left(mark: str) -> Iterator[None]:
    yield
    until = time.monotonic() + 5
    while (left := _left(mark)) and time.monotonic() < until:
        time.sleep(0.05)
    assert left == []


def _left(mark: str) -> list[str]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(" ".join(process.cmdline()))
    # Of the whole test process, and not ours to end.
    return [line for line in found if "resource_tracker" not in line]


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry_points = (
        "[bench.refiners]\nbad = bad_plugins:Wrong\nuntidy = bad_plugins:Untidy\ngood = bad_plugins:Good\n"
        "badfit = bad_plugins:WrongFit\n[bench.bases]\nbadbase = bad_plugins:Base\n[bench.metrics]\nbadmetric = "
        "bad_plugins:Metric\n"
    )
    source = Path(__file__).with_name("bad_plugins.py").read_text()
    install(tmp_path / "site", "bad_plugins", source, entry_points, monkeypatch)
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(5)
    for number in range(4):
        for folder, shape in (("images", (24, 20, 3)), ("masks", (24, 20))):
            Path(folder).mkdir(exist_ok=True)
            pixels = draw.integers(0, 256, shape, np.uint8)
            Image.fromarray(pixels if folder == "images" else (pixels > 99).astype(np.uint8) * 255).save(
                f"{folder}/{number}.png"
            )
        write_map(Path(f"maps/{number}.png"), draw.random((24, 20), np.float32))


DATASET, MAPS = "folder[images=images,masks=masks,val=0.5,test=0.5]", "maps[path=maps]"


def run(*refiners: str, base: str = MAPS, **options: Any) -> RunResult:
    given: dict[str, Any] = {"on_error": "skip", "stall_limit": STALL, "device": "cpu", **options}
    return bench.run(dataset=[DATASET], base=[base], refiner=["good", *refiners], **given)


def metrics(result: RunResult, refiner: str) -> pd.DataFrame:
    return result.records().query("refiner == @refiner").reset_index()[["id", *METRIC_COLUMNS]]


def check_failures(result: RunResult, expected: dict[str, str]) -> None:
    errors = {cell.refiner: cell.error for cell in result.store.manifests() if cell.status == "failed"}
    assert set(errors) == set(expected)
    wrong = {name: error for name, error in errors.items() if not re.search(expected[name], error)}
    assert wrong == {}
    assert max(map(len, errors.values())) <= LONGEST
    for line in (*errors.values(), *result.summary()):
        assert not {unicodedata.category(letter) for letter in line} & {"Cc", "Cf"}


def test_a_few_of_them_beside_a_good_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    expected = {f"bad[does={does}]": REFINERS[does] for does in FEW}
    arguments = ["--dataset", DATASET, "--base", MAPS, "--refiner", "good", *expected, "--store", "few"]
    assert main(["run", *arguments, "--on-error", "skip", "--device", "cpu"]) == 3
    result = run(store="alone", engine="inline")
    few = bench.load("few")
    assert {cell.refiner for cell in few.store.manifests() if cell.status == "done"} == {"good", "identity"}
    pd.testing.assert_frame_equal(metrics(few, "good"), metrics(result, "good"))  # type: ignore[arg-type]
    errors = {cell.refiner: cell.error for cell in Store("few").manifests() if cell.status == "failed"}
    assert [name for name in expected if not re.search(expected[name], errors[name])] == []
    assert "failed: " in capfd.readouterr().err


@pytest.mark.slow
def test_all_of_them_beside_a_good_one(tmp_path: Path) -> None:
    expected = {f"bad[does={does}]": reason for does, reason in REFINERS.items()}
    untidy = [f"untidy[does={does}]" for does in UNTIDY]
    result = run(*expected, *untidy, store="all")
    check_failures(result, expected)
    good = metrics(run(store="alone"), "good")
    for name in ("good", *untidy):
        pd.testing.assert_frame_equal(metrics(result, name), good)


@pytest.mark.slow
def test_bad_fits_and_bases(tmp_path: Path) -> None:
    fits = {"writes": WRITES, "writes-map": WRITES, "exits": r"sys\.exit\('no more'\)"}
    expected = {f"badfit[does={does}]": reason for does, reason in fits.items()}
    check_failures(run(*expected), expected)
    bases = {
        "writes": r"read-only.*badbase.*must copy",
        "writes-mask-by-torch": r"has changed its input \(.*badbase",
        "segfaults": "killed by SIGSEGV",
        "two": "returned 2 maps for 1 image",
    }
    for does, reason in bases.items():
        result = run(base=f"badbase[does={does}]", store=does)
        check_failures(result, {"good": reason, "identity": reason})


@pytest.mark.slow
def test_bad_metrics(tmp_path: Path) -> None:
    reasons = {
        "writes": "read-only.*metric 'badmetric.*must copy",
        "writes-by-torch": "has changed its input .metric 'badmetric",
        "exits": r"metric 'badmetric.* failed: the plug-in called sys\.exit\(0\)",
        "raises": "metric 'badmetric.* failed: MuteError: .it has no message",
        "huge": "metric 'badmetric.* failed: OverflowError",
    }
    for does, reason in reasons.items():
        result = run(metric=[f"badmetric[does={does}]"], store=does)
        check_failures(result, {"good": reason, "identity": reason})


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "inline"])
def test_with_workers_and_in_one_process(engine: str) -> None:
    names = ["exits", "exits-well", "stops-iteration", "odd", "writes-map", "writes-by-torch", "nan"]
    expected = {f"bad[does={does}]": REFINERS[does] for does in names}
    options: dict[str, Any] = {"engine": "inline"}
    if engine == "local":
        options = {"workers": 2}
        expected |= {"bad[does=interrupts]": REFINERS["interrupts"]}
        expected |= {"bad[does=segfaults]": "^a worker process was killed by SIGSEGV"}
        expected |= {"bad[does=forks-then-crashes]": "^a worker process ended with exit code 9"}
    check_failures(run(*expected, **options), expected)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_what_never_returns_is_ended(workers: int) -> None:
    refiners = [f"bad[does={does}]" for does in ("stops-itself", "hangs-deaf")]
    names = [*refiners, "badfit[does=hangs]"]
    result = run(*names, store="refiners", workers=workers, stall_limit=6)
    base = run(base="badbase[does=hangs]", store="base", stall_limit=6)
    metric = run(metric=["badmetric[does=hangs]"], store="metric", workers=workers, stall_limit=6)
    errors = {cell.refiner: cell.error for cell in result.store.manifests() if cell.refiner in names}
    errors |= {f"{found.store.address}": "".join(found.failures.values()) for found in (base, metric)}
    assert [name for name, error in errors.items() if not re.search(STALLED, error)] == []
