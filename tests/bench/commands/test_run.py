"""The whole flow on a toy dataset: maps on disk -> refiners -> store -> table."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bench
from bench.commands.run import RunResult
from bench.contracts import UserError
from bench.execution.study import CellError
from bench.runtime.sealed import sealed
from bench.store import Store
from tests.bench.conftest import Toy
from tests.bench.records import METRIC_COLUMNS


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(toy: Toy, *refiners: str, **options: Any) -> RunResult:
    return bench.run(
        dataset=[toy.dataset],
        base=[toy.base],
        refiner=list(refiners),
        device="cpu",
        **{"engine": "inline", **options},
    )


def frames(store: Store) -> dict[str, pd.DataFrame]:
    return {cell.refiner: store.records(cell) for cell in store.manifests() if cell.status == "done"}


def metrics(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[["id", *METRIC_COLUMNS]]


def test_from_maps_to_records(toy: Toy) -> None:
    result = run(toy, "threshold", engine="local")
    cells = frames(result.store)
    assert set(cells) == {"identity", "threshold"}  # the baseline is always run
    assert len(cells["identity"]) == 2  # 20 % of ten
    assert (cells["threshold"].iou > cells["identity"].iou).all()
    manifest = next(cell for cell in result.store.manifests() if cell.refiner == "threshold")
    assert manifest.images == 2 and manifest.fit_seconds is not None
    assert manifest.environment["device"] == "cpu"
    costs = cells["threshold"]
    assert (costs.seconds > 0).all() and (costs.base_seconds > 0).all() and (costs.peak_rss_mb > 10).all()
    assert costs.peak_gpu_mb.isna().all()


def test_identity_scores_are_those_of_bench_score(toy: Toy, tmp_path: Path) -> None:
    cells = frames(run(toy, "identity").store)
    scores = bench.score(toy.masks, toy.maps).set_index("id").loc[cells["identity"].id]
    for column in METRIC_COLUMNS:
        np.testing.assert_allclose(cells["identity"][column], scores[column], atol=1e-5)


def test_force_redoes_the_named_cells_alone(toy: Toy) -> None:
    folder = Path(run(toy, "threshold").store.address, "cells")
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("*/*.parquet")}
    run(toy, "threshold", force=True)
    after = {path.name: path.stat().st_mtime_ns for path in folder.glob("*/*.parquet")}
    (gone,), (new,) = before.keys() - after.keys(), after.keys() - before.keys()
    assert "__threshold__" in gone and new == gone.replace(".1.", ".2.")
    assert len(before) == len(after) == 2
    ((name, stamp),) = before.items() & after.items()
    assert "__identity__" in name and stamp


@pytest.mark.usefixtures("plugins")
def test_force_keeps_the_old_cell_until_the_new_one_is_there(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(toy, "half")
    expected = frames(result.store)
    monkeypatch.setattr("toy_plugins.Half.refine", lambda *_: 1 / 0)
    with pytest.raises(CellError):
        run(toy, "half", force=True)
    for name, frame in frames(result.store).items():
        pd.testing.assert_frame_equal(frame, expected[name])
    assert [cell.status for cell in result.store.manifests() if cell.refiner == "half"] == ["done", "failed"]


def test_an_interrupted_cell_goes_on_and_ends_the_same(toy: Toy, tmp_path: Path) -> None:
    whole = run(toy, "identity", store=tmp_path / "whole")
    expected = frames(whole.store)["identity"]
    key = whole.cells[0].manifest.key
    # What a kill after the first image leaves: its record, and a torn one.
    first = {str(name): value for name, value in expected.iloc[0].to_dict().items()}
    partial = tmp_path / "resumed" / "work" / f"cell-{key}.0123456789ab" / "records.jsonl"
    partial.parent.mkdir(parents=True)
    partial.write_text(sealed({**first, "seconds": 123.0}) + '{"id": "disc')
    resumed = frames(run(toy, "identity", store=tmp_path / "resumed").store)["identity"]
    pd.testing.assert_frame_equal(metrics(resumed), metrics(expected))
    assert resumed.seconds[0] == 123.0  # not computed again
    assert not list((tmp_path / "resumed" / "work").iterdir())


@pytest.mark.usefixtures("plugins")
def test_kill_minus_nine_in_the_middle_then_the_same_command(toy: Toy, tmp_path: Path) -> None:
    refiner = "half[wrong=dawdles]"
    dataset = toy.dataset.replace("]", ",val=0.1,test=0.8]")
    arguments = ["run", "--dataset", dataset, "--base", toy.base, "--refiner", refiner, "--store", "killed"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    process = subprocess.Popen([sys.executable, "-m", "bench.cli", *arguments], env=environment)

    def lines() -> int:
        if not list((tmp_path / "killed" / "cells").glob("*/*identity*.parquet")):
            return 0  # the fast cell before it
        files = (tmp_path / "killed").glob("work/cell-*/records.jsonl")
        return max((len(file.read_text().splitlines()) for file in files), default=0)

    deadline = time.monotonic() + 60
    while not 2 <= lines() < 8 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.wait()
    time.sleep(1.0)  # two images' worth: the child must not go on alone
    left = lines()
    time.sleep(1.0)
    assert 2 <= lines() == left < 8
    options: dict[str, Any] = {"dataset": [dataset], "base": [toy.base], "refiner": [refiner], "device": "cpu"}
    killed, whole = bench.run(**options, store="killed"), bench.run(**options, store="whole")
    for name, frame in frames(whole.store).items():
        assert len(frame) == 8
        pd.testing.assert_frame_equal(metrics(frames(killed.store)[name]), metrics(frame))


def test_limit_cuts_each_split_and_is_part_of_the_cell(toy: Toy) -> None:
    result = run(toy, "identity", limit=1)
    assert [cell.images for cell in result.store.manifests()] == [1]
    assert result.store.manifests()[0].limit == 1


def test_a_missing_map_is_counted_and_named_or_dropped(toy: Toy) -> None:
    gone = run(toy, "identity").store.records(run(toy, "identity").cells[0].manifest).id[0]
    (toy.maps / f"{gone}.png").unlink()
    with pytest.raises(UserError, match=rf"1 of 4 samples have no map: {gone} .*missing=drop"):
        run(toy, "identity")
    rest = bench.run(
        dataset=[toy.dataset], base=[f"maps[path={toy.maps},missing=drop]"], refiner=["identity"], engine="inline"
    )
    assert [cell.images for cell in rest.store.manifests() if "drop" in cell.base] == [1]


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("engine", "wrong", "error"),
    [
        ("inline", "raises", "ZeroDivisionError: a defect of the plug-in"),
        ("inline", "shape", "returned float32"),
        ("inline", "nan", "NaN"),
        ("local", "raises", "ZeroDivisionError: a defect of the plug-in"),
        ("local", "dies", "ended with exit code 9"),
    ],
)
def test_a_failing_refiner_fails_its_cell_alone(toy: Toy, engine: str, wrong: str, error: str) -> None:
    result = run(toy, f"half[wrong={wrong}]", "half", on_error="skip", engine=engine)
    by_name = {cell.refiner: cell for cell in result.store.manifests()}
    assert by_name["identity"].status == by_name["half"].status == "done"
    failed = by_name[f"half[wrong={wrong}]"]
    assert failed.status == "failed" and error in failed.error
    assert list(result.failures) == [failed.key]


def test_a_refiner_without_its_weights_is_skipped_or_stops_the_run(toy: Toy, tmp_path: Path) -> None:
    pytest.importorskip("segmentation_refinement", reason="the cascadepsp extra is not installed")
    weights = tmp_path / "model"
    weights.write_bytes(b"not the release")
    with pytest.raises(UserError, match="md5"):
        run(toy, f"cascadepsp[weights={weights}]")
    assert not Path("runs").exists()  # known before anything was written
    result = run(toy, f"cascadepsp[weights={weights}]", on_error="skip")
    assert [cell.status for cell in result.store.manifests()] == ["failed", "done"]
    assert "md5" in next(iter(result.failures.values()))


@pytest.mark.usefixtures("plugins")
def test_a_defect_stops_the_run_and_is_told_from_a_users_mistake(toy: Toy) -> None:
    with pytest.raises(CellError, match="ZeroDivisionError"):
        run(toy, "half[wrong=raises]", "half")
    statuses = {cell.refiner: cell.status for cell in Store(Path("runs/default")).manifests()}
    assert statuses == {"identity": "done", "half[wrong=raises]": "failed", "half": "planned"}
    with pytest.raises(UserError, match="NaN"):
        run(toy, "half[wrong=nan]")


@pytest.mark.usefixtures("plugins")
def test_protocol_b_trains_the_base_on_train_and_val_and_has_no_refiner_that_learns(toy: Toy) -> None:
    result = bench.run(
        dataset=[toy.dataset],
        base=["counting"],
        refiner=["half", "threshold"],
        protocol=["A", "B"],
        device="cpu",
        engine="inline",
    )
    cells = {(cell.protocol, cell.refiner): result.store.records(cell) for cell in result.store.manifests()}
    assert set(cells) == {("A", "identity"), ("A", "half"), ("A", "threshold"), ("B", "identity"), ("B", "half")}
    # 6 train, 2 val: the map's level is the share of pixels that the error on background shows.
    for protocol, level in (("A", 0.062), ("B", 0.08)):
        frame = cells[protocol, "identity"]
        foreground = frame["union"] / (24 * 20)
        np.testing.assert_allclose(frame["mae"], foreground * (1 - level) + (1 - foreground) * level, atol=1e-4)


def test_protocol_b_is_refused_for_a_base_with_weights(toy: Toy) -> None:
    with pytest.raises(UserError, match=r"has its weights already \(protocol B\)"):
        run(toy, "identity", protocol=["B"])


def test_an_oracle_is_told_the_masks(toy: Toy) -> None:
    cells = frames(run(toy, "oracle-image", "oracle-patch[patch=4]").store)
    assert (cells["oracle-patch[patch=4]"].iou >= cells["oracle-image"].iou).all()
    assert (cells["oracle-image"].iou >= cells["identity"].iou).all()


@pytest.mark.usefixtures("plugins")
def test_parameters_are_set_wherever_a_plug_in_is_used_and_a_name_overrules_them(toy: Toy) -> None:
    result = run(toy, "oracle-patch", "oracle-patch[patch=4]", parameters=["oracle-patch.patch=8"])
    assert set(frames(result.store)) == {"identity", "oracle-patch[patch=8]", "oracle-patch[patch=4]"}
    with pytest.raises(UserError, match=r"no such plug-in 'oracle'.*did you mean 'oracle-"):
        run(toy, "identity", parameters=["oracle.patch=8"])
    with pytest.raises(UserError, match=r"cannot read 'patch=8' \(--set\)"):
        run(toy, "identity", parameters=["patch=8"])
