"""``bench report --experiment``: of a store that holds more, the experiment's cells and no others."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from bench.cli import main
from bench.store import Store
from tests.reports.stores import add

SETTINGS = """
[experiments.mine]
dataset = ["kvasir"]
base = ["unet"]
refiner = ["threshold"]
seed = [0]
protocol = ["A"]
[experiments.other]
dataset = ["duts"]
base = ["unet"]
refiner = ["identity"]
[experiments.both]
parts = ["mine", "other"]
[experiments.empty]
dataset = ["ecssd"]
base = ["unet"]
"""


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The two cells of the experiment ``mine``: mean IoU 0.4 and 0.5."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench.toml").write_text(SETTINGS)
    store = Store(tmp_path / "cells")
    store.open_for_writing()
    for refiner, iou in (("identity", [0.3, 0.5]), ("threshold", [0.25, 0.75])):
        put(store, refiner, iou)
    return store


def put(store: Store, refiner: str, iou: list[float], **fields: Any) -> None:
    add(store, refiner, iou, **{"dataset": "kvasir", **fields})


def reported(store: Store, capsys: pytest.CaptureFixture[str], *options: str) -> dict[tuple[str, ...], str]:
    """(dataset, base, refiner, protocol, limit, numbers of the seeds) -> mean IoU, of the report as CSV."""
    capsys.readouterr()
    assert main(["report", "--store", store.address, "--csv", *options]) == 0
    rows = csv.DictReader(io.StringIO(capsys.readouterr().out))
    names = ("dataset", "base", "refiner", "protocol", "limit", "seeds")
    return {tuple(row[name] for name in names): f"{float(row['iou']):.6f}" for row in rows if row["iou"]}


MINE = {
    ("kvasir", "unet", "identity", "A", "", "0"): "0.400000",
    ("kvasir", "unet", "threshold", "A", "", "0"): "0.500000",
}


def test_the_whole_store_holds_what_the_experiment_does(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert reported(store, capsys) == reported(store, capsys, "--experiment", "mine") == MINE


@pytest.mark.parametrize(
    "other",
    [
        {"dataset": "duts"},
        {"base": "pspnet"},
        {"refiner": "morphology"},
        {"seed": 1},
        {"protocol": "B"},
        {"limit": 3},
    ],
    ids=str,
)
def test_a_cell_that_differs_in_one_thing_is_left_out(
    other: dict[str, Any], store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    for refiner in (other["refiner"],) if "refiner" in other else ("identity", "threshold"):
        put(store, **{**other, "refiner": refiner, "iou": [1.0, 1.0]})
    assert reported(store, capsys) != MINE
    assert reported(store, capsys, "--experiment", "mine") == MINE


def test_an_experiment_of_parts_is_all_of_theirs(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    put(store, "identity", [0.2, 0.4], dataset="duts")
    put(store, "morphology", [1.0, 1.0], dataset="duts")
    found = reported(store, capsys, "--experiment", "both")
    assert found == MINE | {("duts", "unet", "identity", "A", "", "0"): "0.300000"}


@pytest.mark.parametrize(("name", "says"), [("mien", "did you mean 'mine'?"), ("empty", "")])
def test_what_has_nothing_to_show_is_one_line_and_2(
    name: str, says: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--store", store.address, "--experiment", name]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and says in captured.err
    assert captured.err.startswith("bench: error: ") and captured.err.count("\n") == 1
