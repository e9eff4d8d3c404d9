"""What a run leaves as its log, however it ends."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.commands.run import RunResult
from bench.execution import run_log
from bench.execution.run_log import LoggedRun, RunLog
from bench.execution.study import CellError
from bench.runtime.failures import SignalledError
from bench.runtime.progress import Step
from bench.store import Store
from tests.bench.conftest import Toy


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(toy: Toy, *refiners: str, **options: Any) -> RunResult:
    given = {"dataset": [toy.dataset], "base": [toy.base], "refiner": list(refiners), "device": "cpu"}
    return bench.run(**{**given, "store": "store", "engine": "inline", **options})


def lines(path: Path | None) -> list[dict[str, Any]]:
    assert path is not None
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("engine", ["inline", "local"])
def test_a_run_tells_its_begin_each_stage_and_its_end(toy: Toy, engine: str) -> None:
    result = run(toy, "threshold", engine=engine, seed=[3])
    found = lines(result.log)
    assert [line["event"] for line in found if line["event"] != "note"] == [
        *("begun", "planned"),
        *["stage begun", "stage ended"] * 5,
        "ended",
    ]
    begun, planned = found[0], found[1]
    assert begun["engine"] == engine and begun["pid"] == os.getpid() and begun["options"]["seed"] == [3]
    assert begun["version"] and begun["command"] and begun["host"]
    assert planned["cells"] == planned["compute"] == 2 and planned["reused"] == 0
    assert planned["stages"] == {"val maps": 1, "fit": 1, "test maps": 1, "refine": 2}
    ended = {line["task"]: line for line in found if line["event"] == "stage ended"}
    assert all(line["outcome"] == "done" and line["seconds"] > 0 and line["host"] for line in ended.values())
    cells = {f"cell-{cell.key}": cell for cell in result.store.manifests()}
    assert {line["refiner"] for task, line in ended.items() if task in cells} == {"identity", "threshold"}
    assert all(line["images"] == 2 and line["each"] >= 0 for task, line in ended.items() if task in cells)
    assert any(line["event"] == "note" and line["text"].startswith("done: ") for line in found)
    last = found[-1]
    assert (last["outcome"], last["computed"], last["failed"]) == ("done", 2, 0)


def test_a_run_with_nothing_to_compute_leaves_no_log(toy: Toy) -> None:
    run(toy, "identity")
    assert run(toy, "identity").log is None and len(Store("store").run_folders()) == 1


@pytest.mark.usefixtures("plugins")
def test_a_defect_is_told_with_its_trace_and_what_became_of_the_run(toy: Toy) -> None:
    result = run(toy, "half[wrong=raises]", on_error="skip", store="skipped")
    (failed,) = (line for line in lines(result.log) if line.get("outcome") == "failed")
    assert failed["error"] == "ZeroDivisionError: a defect of the plug-in" and "toy_plugins" in failed["trace"]
    assert lines(result.log)[-1]["failures"] == {failed["error"]: 1}
    assert str(result.log) in result.summary()[-1]
    with pytest.raises(CellError):
        run(toy, "half[wrong=raises]", on_error="fail")
    (folder,) = Store("store").run_folders()
    ended = lines(folder / "log.jsonl")[-1]
    assert ended["event"] == "ended" and ended["outcome"] == "failed" and "ZeroDivisionError" in ended["error"]


@pytest.mark.usefixtures("plugins")
def test_cells_that_fail_before_anything_begins_are_counted_by_reason(toy: Toy) -> None:
    planned = lines(run(toy, "weightless", on_error="skip").log)[1]
    ((reason, count),) = planned["failed"].items()
    assert "its weights are not here" in reason and count == 1


def test_no_secret_is_written(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "run", "--base", "b[weights=s3://me:hidden-1@host/x?token=hidden-2]"])
    monkeypatch.setenv("HF_TOKEN", "hidden-3-of-some-length")
    log = RunLog(tmp_path / "run", options={"base": ["https://me:hidden-4@host"], Path("a"): {"hidden": True}})
    log.hear("it said hidden-3-of-some-length, and ?secret=hidden-5&more")
    text = log.path.read_text()
    assert "***" in text and not any(f"hidden-{number}" in text for number in range(1, 6))
    assert len(text.splitlines()) == 2


def test_a_log_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "MOST_NOTES", 3)
    log = RunLog(tmp_path)
    for number in range(10):
        log.hear(f"note {number}")
        log.hear(Step("prn", number, 10, "one stage"))
    log.hear(Step("outside of all stages", 1, 10))
    log.write("x", text="y" * 10**6)
    found = lines(log.path)
    assert [line["event"] for line in found].count("note") == 4
    assert [line["event"] for line in found].count("stage begun") == 1
    assert len(log.path.read_text()) < 30_000


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyboardInterrupt(), {"outcome": "interrupted", "signal": "SIGINT"}),
        (SignalledError(15), {"outcome": "interrupted", "signal": "SIGTERM"}),
        (ValueError("no"), {"outcome": "failed", "error": "ValueError: no"}),
    ],
)
def test_how_a_run_was_ended(tmp_path: Path, error: BaseException, told: dict[str, str]) -> None:
    with pytest.raises(type(error)), RunLog(tmp_path) as log:
        raise error
    assert lines(log.path)[-1].items() >= told.items()
    logged = LoggedRun.read(log.path)
    assert logged is not None and logged.how == told["outcome"]


def test_a_run_without_an_end_runs_or_has_died(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    running = LoggedRun.read(log.path)
    assert running is not None and running.how == "running"
    # As one that was killed leaves it: another process's, and its last line torn.
    text = log.path.read_text().replace('"started": "', '"started": "9')
    log.path.write_text(text + '{"time": "2020", "eve')
    died = LoggedRun.read(log.path)
    assert died is not None and died.how == "died" and died.last == running.last


def _folder(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.parent.chmod(0o500)


def _file(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("in the way")


def _full(path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no device that is always full")
    path.mkdir(parents=True)
    (path / "log.jsonl").symlink_to("/dev/full")


@pytest.mark.parametrize("hinder", [_folder, _file, _full])
def test_what_cannot_be_written_costs_one_warning(
    toy: Toy, capsys: pytest.CaptureFixture[str], hinder: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    if hinder is _folder and os.geteuid() == 0:
        pytest.skip("root may write into any folder")
    place = Path("elsewhere/run")
    hinder(place)
    monkeypatch.setattr(Store, "run_folder", lambda self: place)
    result = run(toy, "threshold")
    assert not result.failures and len(result.finished) == 2
    assert capsys.readouterr().err.count("no log of this run is kept") == 1
