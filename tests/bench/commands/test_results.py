"""What Python has of a run or a store: the report's rows, the images' records, text, and a table in a notebook."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import bench
from bench.cli import main
from bench.commands.run import RunResult
from bench.contracts import UserError
from bench.execution.study import CellError
from tests.bench.conftest import Toy


def run(toy: Toy, **options: Any) -> RunResult:
    given: dict[str, Any] = {"dataset": [toy.dataset], "base": [toy.base], "refiner": ["threshold"], "device": "cpu"}
    return bench.run(**{**given, "engine": "inline", "store": "store", **options})


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_table_is_the_csv(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(toy)
    assert main(["report", "--store", "store", "--csv"]) == 0
    written = pd.read_csv(io.StringIO(capsys.readouterr().out.rstrip("\n") + "\n"))
    table = result.table()
    assert list(table.columns) == list(written.columns) and list(table.refiner) == ["identity", "threshold"]
    numbers = table.select_dtypes("number").columns
    pd.testing.assert_frame_equal(table[numbers].astype("float64"), written[numbers].astype("float64"))
    # A column that no row has a value in is of numbers all the same.
    assert table.peak_gpu_mb.isna().all() and table.peak_gpu_mb.dtype == "float64"


def test_the_records_are_a_row_an_image_and_their_means_are_the_table(toy: Toy) -> None:
    result = run(toy, seed=[0, 1])
    records = result.records()
    assert len(records) == 2 * 2 * 2 and set(records.seed) == {0, 1}
    assert set(records.key) == {cell.manifest.key for cell in result.cells}
    means = records.groupby("refiner").iou.mean()
    for _, row in result.table().iterrows():
        assert row.iou == pytest.approx(means[row.refiner])


def test_a_run_shows_its_own_cells_and_a_store_all_of_them(toy: Toy) -> None:
    run(toy, refiner=["morphology"])
    result, whole = run(toy), bench.load("store")
    assert list(result.table().refiner) == ["identity", "threshold"]
    assert set(whole.table().refiner) == {"identity", "threshold", "morphology"}
    Path("bench.toml").write_text(
        f"[experiments.e]\ndataset = ['{toy.dataset}']\nbase = ['{toy.base}']\nrefiner = ['morphology']\n"
    )
    assert list(bench.load("store", experiment="e").table().refiner) == ["identity", "morphology"]


def test_a_report_comes_in_every_form_and_a_notebook_shows_the_tables(toy: Toy) -> None:
    result = run(toy)
    assert "\\toprule" in result.report("latex") and result.report("csv").startswith("dataset,")
    assert result._repr_markdown_() == result.report() and "| threshold" in result.report()
    assert str(result) == result.report("terminal") and "Take threshold: " in str(result)
    assert repr(result) == "RunResult('" + str(Path.cwd() / "store") + "': 2 cells, 0 reused, 0 failed)"
    with pytest.raises(UserError, match=r"no such format 'latx'.*'latex'"):
        result.report("latx")


def test_what_is_not_there_is_refused(toy: Toy) -> None:
    with pytest.raises(UserError, match="no store here"):
        bench.load("nowhere")
    run(toy)
    with pytest.raises(UserError, match="no such experiment 'mine'"):
        bench.load("store", experiment="mine")


@pytest.mark.usefixtures("plugins")
def test_of_failed_cells_there_are_no_records(toy: Toy) -> None:
    result = run(toy, refiner=["half[wrong=raises]"], on_error="skip")
    assert set(result.records().refiner) == {"identity"}
    assert list(result.table().status) == ["done", "failed"]


def test_inline_gives_the_numbers_of_local_and_leaves_memory_out(toy: Toy) -> None:
    inline, local = run(toy).records(), run(toy, engine="local", store="local").records()
    metrics = ["id", "iou", "boundary_iou", "mae"]
    pd.testing.assert_frame_equal(inline[metrics], local[metrics])
    assert inline[["peak_rss_mb", "base_peak_rss_mb"]].isna().all(axis=None) and (inline.seconds > 0).all()
    assert (local[["peak_rss_mb", "base_peak_rss_mb"]] > 10).all(axis=None)


@pytest.mark.usefixtures("plugins")
def test_inline_hands_a_debugger_the_defect_itself(toy: Toy) -> None:
    with pytest.raises(CellError, match="a defect of the plug-in") as caught:
        run(toy, refiner=["half[wrong=raises]"])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    traceback = caught.value.__cause__.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    assert traceback is not None and traceback.tb_frame.f_code.co_name == "refine"  # its frame is here to look into
