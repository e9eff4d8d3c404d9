"""Several processes: each works alone, none outlives the others, and a run with them ends as one without."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest

import bench
from bench.contracts import UserError
from bench.reports import build
from bench.reports.formats import markdown
from bench.runtime.crew import crew
from bench.runtime.sealed import sealed
from bench.store import Manifest, Store
from tests.bench.conftest import Toy
from tests.bench.crews import begins, cannot_begin, dies_at_once, misbehaves
from tests.bench.records import METRIC_COLUMNS


@pytest.fixture(autouse=True)
def _none_outlives_the_test() -> Iterator[None]:
    yield
    children = filter(_alive, psutil.Process().children())
    assert [child for child in children if "popen_loky" in " ".join(child.cmdline())] == []


def test_one_worker_is_this_process() -> None:
    with crew(misbehaves, 1) as each:
        assert list(each(range(5))) == [0, 1, 2, 3, 4]


def test_each_worker_begins_once_has_one_thread_and_gets_its_share() -> None:
    before = dict(os.environ)
    with crew(begins, 2) as each:
        found = set(each(["who"] * 6))
        assert sorted(each(range(50))) == [number**2 for number in range(50)]  # the same workers again
        drawn = []

        def items() -> Iterator[int]:
            for number in range(50):
                drawn.append(number)
                yield number

        for received, _ in enumerate(each(items()), start=1):
            assert len(drawn) <= received + 2  # not a queue of them all
    assert len(found) == 2 and len({pid for pid, _, _ in found}) == 2
    assert {threads for _, _, threads in found} == {(1, 1, "1", "1", "1")}
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("item", "error", "says"),
    [
        ("user error", UserError, r"the map is torn \(maps/7.png\): write it again"),
        ("defect", ZeroDivisionError, "of the plug-in"),
        ("end of file", EOFError, "of the plug-in's own file"),
        ("unpicklable", RuntimeError, "Local: a class that no other process knows"),
        ("dies", UserError, r"a worker process ended with exit code 9 and no result \(dies\): .*bench check"),
    ],
)
def test_what_goes_wrong_in_a_worker_comes_out_once(
    tmp_path: Path, item: str, error: type[Exception], says: str
) -> None:
    half_written = tmp_path / "out.txt"

    def items() -> Iterator[Any]:
        yield half_written
        while not list(tmp_path.iterdir()):
            time.sleep(0.01)
        yield item

    with pytest.raises(error, match=says) as caught, crew(misbehaves, 2) as each:
        list(each(items()))
    assert list(tmp_path.iterdir()) == []
    if error is not UserError:
        assert "in work\n    raise " in "".join(caught.value.__notes__)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (cannot_begin, r"no weights \(--checkpoint\)"),
        (dies_at_once, r"a worker process ended with exit code 3 and no result \(--workers\)"),
    ],
)
def test_a_worker_that_cannot_begin_stops_all(make: Callable[[], Callable[[Any], Any]], says: str) -> None:
    with pytest.raises(UserError, match=says), crew(make, 2):
        raise AssertionError("the block must not be entered")


def test_what_goes_wrong_here_stops_the_workers() -> None:
    with pytest.raises(KeyError), crew(misbehaves, 2) as each:
        for _ in each(range(10)):
            raise KeyError


SCRIPT = """
import signal
import sys
from pathlib import Path
from bench.runtime.crew import crew
from tests.bench.crews import misbehaves

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs have it ignored
with crew(misbehaves, 2) as each:
    list(each([Path(sys.argv[1], name) for name in "ab"]))
"""


def _alive(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_the_parent(tmp_path: Path, end: signal.Signals) -> None:
    script, folder = tmp_path / "script.py", tmp_path / "out"
    script.write_text(SCRIPT)
    folder.mkdir()
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, str(script), str(folder)]
    process = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=tmp_path
    )
    deadline = time.monotonic() + 60
    while len(list(folder.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    children = psutil.Process(process.pid).children()
    assert len(children) >= 2
    if end == signal.SIGINT:
        os.killpg(process.pid, end)  # as a terminal's Ctrl-C does
    else:
        process.kill()
    _, errors = process.communicate(timeout=120)
    while any(map(_alive, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_alive, children))
    if end == signal.SIGINT:
        assert list(folder.iterdir()) == []
        assert errors.count("Traceback") == 1 and errors.rstrip().endswith("KeyboardInterrupt")  # the parent's alone


def _run(toy: Toy, store: Path, *refiners: str, **options: Any) -> dict[str, tuple[Manifest, pd.DataFrame]]:
    dataset = toy.dataset.replace("]", ",val=0.2,test=0.6]")
    given: dict[str, Any] = {"dataset": [dataset], "base": [toy.base], "refiner": refiners, "device": "cpu"}
    result = bench.run(**given, store=store, **{"engine": "inline", **options})
    done = [cell for cell in result.store.manifests() if cell.status == "done"]
    return {cell.refiner: (cell, result.store.records(cell)) for cell in done}


def test_a_run_with_workers_ends_as_one_without(toy: Toy, tmp_path: Path) -> None:
    alone = _run(toy, tmp_path / "alone", "threshold")
    # What a kill leaves is gone on with by several workers.
    manifest, frame = alone["threshold"]
    partial = tmp_path / "shared" / "work" / f"cell-{manifest.key}.0123456789ab" / "records.jsonl"
    partial.parent.mkdir(parents=True)
    record = json.loads(frame.assign(seconds=123.0)[2:3].to_json(orient="records"))[0]
    partial.write_text(sealed(record))
    together = _run(toy, tmp_path / "shared", "threshold", workers=2, engine="local")
    for name, (manifest, frame) in together.items():
        assert manifest.key == alone[name][0].key and "workers" not in alone[name][0].environment
        assert (manifest.environment["workers"], manifest.environment["process"]) == (2, "started")
        columns = ["id", *METRIC_COLUMNS]
        pd.testing.assert_frame_equal(frame[columns], alone[name][1][columns])
        computed = frame if name != "threshold" else frame.drop(index=2)
        assert len(frame) == 6 and (frame.seconds > 0).all() and (computed.peak_rss_mb > 10).all()
    assert list(together["threshold"][1].seconds == 123.0) == [False, False, True, False, False, False]
    assert not partial.exists()
    remark = "workers side by side: seconds are one image's in one worker"
    for store, said in (("alone", False), ("shared", True)):
        text = markdown.render(build(Store(tmp_path / store), baseline="identity"))
        assert (f"2 {remark}" in text) is said


@pytest.mark.usefixtures("plugins")
@pytest.mark.slow
def test_a_refiner_that_fails_in_a_worker_fails_its_cell_alone(toy: Toy, tmp_path: Path) -> None:
    wrong = {
        "half[wrong=raises]": r"^ZeroDivisionError: a defect of the plug-in$",
        "half[wrong=dies]": r"^a worker process ended with exit code 9 and no result \(disc",
    }
    assert set(_run(toy, tmp_path / "store", *wrong, workers=2, on_error="skip")) == {"identity"}
    errors = {cell.refiner: cell.error for cell in Store(tmp_path / "store").manifests() if cell.status == "failed"}
    assert set(errors) == set(wrong)
    for refiner, error in errors.items():
        assert re.search(wrong[refiner], error)
