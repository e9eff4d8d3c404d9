"""``bench run --dry-run``: what is there, what is to be done, what will fail, and how long that takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import bench
from bench.cli import main
from bench.commands.dry_run import DryRun
from bench.contracts import UserError
from bench.store import Store, cell_task
from tests.bench.conftest import Toy


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def asked(toy: Toy, *refiners: str, **options: Any) -> dict[str, Any]:
    given = {"dataset": [toy.dataset], "base": [toy.base], "refiner": list(refiners), "device": "cpu"}
    return {**given, "store": "store", "engine": "inline", **options}


def dry(toy: Toy, *refiners: str, **options: Any) -> DryRun:
    return bench.dry_run(**asked(toy, *refiners, **options))


def files(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


def test_nothing_is_written_and_of_what_was_never_measured_no_time_is_told(toy: Toy, tmp_path: Path) -> None:
    before = files(tmp_path)
    found = dry(toy, "threshold")
    assert files(tmp_path) == before and not Path("store").exists()
    assert found.to_compute == len(found.cells) == 2 and not found.failing
    assert [(step.does, step.images, step.there) for step in found.steps] == [
        ("test maps", 2, 0),
        ("refine", 2, 0),
        ("val maps", 2, 0),
        ("fit", 0, 0),
        ("refine", 2, 0),
    ]
    estimate = found.estimate
    assert (estimate.known, estimate.unknown, estimate.seconds) == (0, 5, 0)
    assert "wall time: unknown" in str(found) and "0 s" not in str(found)


def test_what_is_there_is_told_and_partly_predicted_maps_are_counted(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.store.maps.SHARD_MAPS", 1)
    bench.run(**asked(toy, "threshold"))
    before = files(tmp_path)
    found = dry(toy, "threshold", "morphology")
    assert files(tmp_path) == before
    assert len(found.there) == 2 and found.to_compute == 1
    assert {step.does: step.is_there for step in found.steps} == {"test maps": True, "refine": False}
    assert dry(toy, "threshold").steps == () and "2 in the store" in str(dry(toy, "threshold"))
    shards = sorted(Path("store/bases").glob("*/maps-*/*/*.safetensors"))
    assert len(shards) == 4
    for shard in shards[::2]:  # of each split one of two
        shard.unlink()
    partly = {step.does: (step.there, step.images) for step in dry(toy, "morphology[tune=2]").steps}
    assert partly == {"val maps": (1, 2), "fit": (0, 0), "test maps": (1, 2), "refine": (0, 2)}
    assert "1 of 2 predicted" in str(dry(toy, "morphology[tune=2]"))


def test_force_takes_nothing_for_there_but_the_maps(toy: Toy) -> None:
    bench.run(**asked(toy, "threshold"))
    found = dry(toy, "threshold", force=True)
    there = {step.does: step.is_there for step in found.steps}
    assert there == {"val maps": True, "fit": False, "test maps": True, "refine": False}
    assert len(found.there) == 1  # the baseline, which is not named


def test_of_what_is_done_in_parts_each_is_told(toy: Toy) -> None:
    parts = {"shard": 1}
    found = dry(toy, "identity", **parts)
    assert [(step.does, step.images) for step in found.steps] == [
        *[("test maps", 1), ("test maps", 1)],
        *[("refine", 1), ("refine", 1)],
        ("put together", 0),
    ]
    result = bench.run(**asked(toy, "identity", **parts))
    cell = result.finished[0]
    lease = result.store.leases.take(cell_task(cell, (0, 1)))
    assert lease is not None
    newer = cell.model_copy(update={"generation": 1})
    result.store.add_part(newer, (0, 1), result.store.records(cell)[:1], {}, lease)
    result.store.leases.give_back(lease)
    for file in Path("store/cells").rglob(f"{cell.file.rpartition('/')[2]}*"):
        file.unlink()
    before = files(Path("store"))
    found = dry(toy, "identity", **parts)
    assert [step.is_there for step in found.steps if step.does == "refine"] == [True, False]
    assert files(Path("store")) == before


@pytest.mark.usefixtures("plugins")
def test_what_will_fail_is_told_with_the_reason(toy: Toy) -> None:
    found = dry(toy, "threshold", "weightless", seed=[0, 1])
    (reason,) = set(found.failing.values())
    assert len(found.failing) == 2 and "its weights are not here" in reason
    assert found.to_compute == 4 and "the run would end here" in str(found)
    assert "the run would end here" not in str(dry(toy, "weightless", on_error="skip"))


def test_times_are_those_of_the_records_where_no_log_tells_them(toy: Toy) -> None:
    result = bench.run(**asked(toy, "threshold", limit=1))
    for folder in result.store.run_folders():
        (folder / "log.jsonl").unlink()
    cells = {cell.refiner: cell for cell in result.finished}
    means = {name: result.store.records(cell).seconds.mean() for name, cell in cells.items()}
    base = pd.concat([result.store.records(cell) for cell in cells.values()]).base_seconds.mean()
    found = dry(toy, "threshold", jobs=1)
    lines = {(line.does, line.whose): line for line in found.estimate.lines}
    assert lines["refine", "threshold"].seconds == pytest.approx(2 * means["threshold"])
    assert lines["refine", "identity"].seconds == pytest.approx(2 * means["identity"])
    assert {line.basis for (does, _), line in lines.items() if does == "refine"} == {
        "1 cell; the refiner's own time, without start and scoring"
    }
    for does in ("val maps", "test maps"):
        assert lines[does, cells["identity"].base].seconds == pytest.approx(2 * base)
        assert lines[does, cells["identity"].base].rests_on == {cell.key for cell in cells.values()}
    # That was of one image, and this is of two: what learns from more takes longer, nobody knows how much.
    assert lines["fit", "threshold"].unknown == 1 and not lines["fit", "threshold"].seconds
    again = {line.does: line for line in dry(toy, "threshold", seed=[1], limit=1).estimate.lines}
    assert again["fit"].seconds == cells["threshold"].fit_seconds
    assert found.estimate.wall == pytest.approx(2 * sum(means.values()) + 4 * base)
    assert found.estimate.busy("cpu") == found.estimate.wall and found.estimate.busy("cuda") == 0


def test_times_are_those_of_whole_stages_where_a_log_tells_them(toy: Toy) -> None:
    result = bench.run(**asked(toy, "threshold"))
    (folder,) = result.store.run_folders()
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    for line in lines:
        if line.get("refiner") == "threshold" and line.get("does") == "refine":
            line |= {"seconds": 10.0, "images": 2, "each": 1.5}  # and 7 before the first image
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    dataset = toy.dataset.replace("]", ",test=0.5]")
    found = dry(toy, "threshold", dataset=[dataset], limit=5)
    (line,) = (line for line in found.estimate.lines if (line.does, line.whose) == ("refine", "threshold"))
    assert line.images == 5 and line.seconds == pytest.approx(7 + 5 * 1.5) and line.basis == "1 cell; on other data"


def test_stages_side_by_side_take_as_long_as_the_longest_at_least(toy: Toy) -> None:
    bench.run(**asked(toy, "threshold"))
    one, many = (dry(toy, "threshold", engine="local", jobs=jobs, seed=[5]).estimate for jobs in (1, 50))
    assert one.wall == one.seconds and many.seconds == one.seconds
    assert many.wall == max(line.longest for line in many.lines)


def test_the_command_prints_text_or_one_json_document(
    toy: Toy, plugins: None, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", "--dataset", toy.dataset, "--base", toy.base, "--device", "cpu", "--store", "store"]
    command += ["--refiner", "threshold", "weightless"]
    assert main([*command, "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("3 cells: 2 to compute, 1 will fail")
    assert main([*command, "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [cell["state"] for cell in found["cells"]] == ["to compute", "to compute", "fails"]
    assert found["estimate"]["stages_unknown"] == len(found["stages"]) == 5
    assert main([*command, "--json"]) == 2 and "--dry-run" in capsys.readouterr().err
    assert not Path("store").exists()


def test_the_script_of_a_cluster_is_told_where_there_is_none(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("submitit")
    found = dry(toy, "threshold", engine="slurm", slurm=["partition=gpu"], jobs=3)
    assert "#SBATCH --partition=gpu" in found.script and found.script in str(found)
    assert found.as_dict()["script"] == found.script and not Path("store").exists()


def test_a_mistake_is_one_line_as_of_a_run(toy: Toy) -> None:
    with pytest.raises(UserError, match="no such refiner"):
        dry(toy, "thresold")
    with pytest.raises(UserError, match="Extra inputs"):
        dry(toy, "threshold", jobz=2)


def test_long_lists_are_cut(toy: Toy) -> None:
    found = dry(toy, *(f"morphology[close={radius}]" for radius in range(3, 32)), seed=[0, 1])
    assert len(str(found).splitlines()) < 30 and "and 24 more x 2 seeds" in str(found)


def test_the_store_is_opened_by_nobody(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.run(**asked(toy, "identity"))
    for name in ("open_for_writing", "tidy", "refresh", "enter"):
        monkeypatch.setattr(Store, name, lambda *_: pytest.fail("it writes"))
    assert dry(toy, "identity").there
