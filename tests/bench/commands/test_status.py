"""``bench status``: what is done, under way, failed and left, whoever is at it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.cli import main
from bench.contracts import UserError
from bench.store import Manifest, Store, cell_task
from bench.store.leases import Progress
from tests.bench.conftest import Toy


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(toy: Toy, *refiners: str, **options: Any) -> Store:
    given = {"dataset": [toy.dataset], "base": [toy.base], "refiner": list(refiners), "device": "cpu"}
    return bench.run(**{**given, "store": "store", "engine": "inline", **options}).store


def planned(store: Store, refiner: str, seed: int) -> Manifest:
    """A cell that a run has entered and not finished: one that is finished, with another seed."""
    cell = next(cell for cell in store.manifests() if cell.refiner == refiner)
    update = {"key": f"{seed:032x}", "seed": seed, "status": "planned", "images": 0, "identity": {**cell.identity}}
    left = cell.model_copy(update=update)
    store.enter(left)
    return left


def files(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


def test_all_done_some_failed_or_not_finished_are_told_apart_by_the_exit_code(
    toy: Toy, plugins: None, capsys: pytest.CaptureFixture[str]
) -> None:
    store = run(toy, "threshold")
    before = files(Path("store"))
    assert main(["status", "--store", "store"]) == 0
    assert capsys.readouterr().out.startswith("2 of 2 cells done; store ")
    assert files(Path("store")) == before
    run(toy, "half[wrong=raises]", "half[wrong=nan]", on_error="skip")
    assert main(["status", "--store", "store"]) == 3
    said = capsys.readouterr().out
    assert said.startswith("2 of 4 cells done, 2 failed") and "ZeroDivisionError: a defect of the plug-in" in said
    planned(store, "threshold", 7)
    assert main(["status", "--store", "store"]) == 4
    said = capsys.readouterr().out
    assert said.startswith("2 of 5 cells done, 2 failed, 1 left") and "nothing is under way" in said
    assert main(["status", "--store", "store", "--json"]) == 4
    found = json.loads(capsys.readouterr().out)
    assert found["cells"] == {"done": 2, "failed": 2, "left": 1} and found["last_run"]["state"] == "done"
    assert [cell["seed"] for cell in found["left"]] == [7] and found["seconds_left"] is None


def test_no_store_and_an_experiment_without_cells_are_the_users_mistake(toy: Toy) -> None:
    with pytest.raises(UserError, match="no store here"):
        bench.status("nowhere")
    run(toy, "identity")
    with pytest.raises(UserError, match="no cell of table2 is planned here"):
        bench.status("store", experiment="table2")
    Path("own.toml").write_text(
        f'[experiments.mine]\ndataset = ["{toy.dataset}"]\nbase = ["{toy.base}"]\nrefiner = ["threshold"]\n'
    )
    assert len(bench.status("store", experiment="mine", config=Path("own.toml")).cells) == 1


def test_who_is_at_work_and_how_far_comes_from_the_leases(toy: Toy) -> None:
    store = run(toy, "threshold")
    cell = planned(store, "threshold", 7)
    lease = store.leases.take(cell_task(cell))
    assert lease is not None
    told = json.loads(store.objects.read(lease.name))
    now = datetime.now(UTC)
    told |= {"since": (now - timedelta(seconds=300)).isoformat(), "at": now.isoformat()}
    told |= {"machine": "another", "host": "far", "pid": 12, "progress": {"what": "x", "done": 1, "total": 4}}
    store.objects.replace(lease.name, json.dumps(told).encode())
    before = files(Path("store"))
    found = bench.status("store")
    assert files(Path("store")) == before
    (work,) = found.running
    assert work.what == cell.title and work.cell == cell.key and work.share == 0.25
    assert work.seconds is not None and 300 <= work.seconds < 330
    assert "process 12 on far" in str(found) and "1 of 4, 25%" in str(found) and "(5 min" in str(found)
    # Three quarters are left of what such a cell took: the log tells it of the first.
    (folder,) = store.run_folders()
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    for line in lines:
        if line.get("refiner") == "threshold" and line.get("does") == "refine":
            line |= {"seconds": 200.0, "images": 2, "each": 100.0}
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert bench.status("store").estimate.wall == pytest.approx(150)
    assert "time left: 2 min 30 s with 1 stage at once" in str(bench.status("store"))
    # It falls silent.
    told |= {"at": (now - timedelta(seconds=600)).isoformat()}
    store.objects.replace(lease.name, json.dumps(told).encode())
    found = bench.status("store")
    assert not found.running and [work.state for work in found.stale] == ["silent"] and "take over" in str(found)


def test_a_lease_whose_process_is_gone_is_stale_and_its_cell_left(toy: Toy) -> None:
    store = run(toy, "threshold")
    cell = planned(store, "threshold", 7)
    dead = "import sys; from bench.store import Store; assert Store(sys.argv[1]).leases.take(sys.argv[2])"
    subprocess.run([sys.executable, "-c", dead, "store", cell_task(cell)], check=True)
    found = bench.status("store")
    assert [work.state for work in found.stale] == ["gone"] and not found.running and len(found.left) == 1
    assert store.leases.holdings()  # it takes nothing away


def test_a_training_that_is_not_there_yet_is_part_of_what_is_left(toy: Toy) -> None:
    store = run(toy, "threshold")
    cell = planned(store, "threshold", 7)
    needs = [line.does for line in bench.status("store").estimate.lines]
    assert needs == ["refine"]
    other = cell.model_copy(update={"key": "f" * 32, "seed": 8, "identity": {**cell.identity, "fit": "e" * 32}})
    store.enter(other)
    status = bench.status("store")
    fit = next(line for line in status.estimate.lines if line.does == "fit")
    done = next(cell for cell in store.manifests() if cell.status == "done" and cell.refiner == "threshold")
    assert fit.stages == 1 and fit.seconds == done.fit_seconds


def test_of_a_cell_in_parts_those_that_are_there_are_not_left(toy: Toy) -> None:
    store = run(toy, "threshold")
    cell = planned(store, "threshold", 7)
    whole = bench.status("store").estimate.seconds
    records = store.records(next(c for c in store.manifests() if c.status == "done" and c.refiner == "threshold"))
    lease = store.leases.take(cell_task(cell, (0, 1)))
    assert lease is not None
    assert bench.status("store").running[0].what == f"{cell.title}, images 1 to 1"
    assert bench.status("store").running[0].cell == cell.key
    store.add_part(cell, (0, 1), records[:1], {}, lease)
    store.leases.give_back(lease)
    before = files(Path("store"))
    assert bench.status("store").estimate.seconds == pytest.approx(whole / 2)
    assert files(Path("store")) == before


def test_a_failed_cell_that_is_under_way_again_is_left(toy: Toy, plugins: None) -> None:
    store = run(toy, "half[wrong=raises]", on_error="skip")
    (failed,) = bench.status("store").failed
    with store.leases.keeping():
        assert store.leases.take(cell_task(failed))
        found = bench.status("store")
        assert not found.failed and [cell.key for cell in found.left] == [failed.key] and len(found.running) == 1
    assert bench.status("store").failed


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("engine", ["inline", "local"])
def test_progress_is_told_by_a_run_without_a_terminal(toy: Toy, tmp_path: Path, engine: str) -> None:
    program = (
        "import sys, bench; from bench.store import leases; leases.BEAT = 0.1\n"
        "bench.run(dataset=[sys.argv[1]], base=[sys.argv[2]], refiner=['half[wrong=dawdles]'], device='cpu',\n"
        "          store='store', engine=sys.argv[3])"
    )
    dataset = toy.dataset.replace("]", ",val=0.1,test=0.8]")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), *sys.path])}
    command = [sys.executable, "-c", program, dataset, toy.base, engine]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    deadline, seen = time.monotonic() + 120, []
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
        seen += [work for work in Store("store").leases.holdings() if work.progress and work.progress.total == 8]
    assert process.wait() == 0
    told = [work.progress.done for work in seen if work.progress and work.task.startswith("cell-")]
    assert told == sorted(told) and any(0 < done < 8 for done in told), told
    assert all(isinstance(work.progress, Progress) and work.process["pid"] == process.pid for work in seen)


def test_a_run_that_was_killed_has_died(toy: Toy, tmp_path: Path) -> None:
    store = run(toy, "identity")
    (folder,) = store.run_folders()
    log = folder / "log.jsonl"
    log.write_text(log.read_text().rpartition('{"time"')[0].replace('"started": "', '"started": "9'))
    assert "died, its process is gone" in str(bench.status("store"))


def test_a_damaged_manifest_is_named_and_is_not_done(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    run(toy, "threshold")
    (manifest,) = Path("store/cells").rglob("*threshold*.json")
    manifest.write_bytes(b"{")
    assert main(["status", "--store", "store"]) == 4
    assert "1 of 1 cell done" in (said := capsys.readouterr().out) and "damaged manifest" in said
