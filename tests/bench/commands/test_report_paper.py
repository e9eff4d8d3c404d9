"""``bench report --experiment table1`` to ``table7``: what the paper prints, beside what was measured."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import bench
from bench.cli import main
from bench.store import Store
from tests.reports.stores import add, records


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    store = Store(tmp_path / "cells")
    store.open_for_writing()
    return store


def test_a_small_run_of_a_table_stands_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bench.run(
        experiment="table4",
        dataset=["quickstart[size=32,train=2,val=2,test=2]"],
        base=["unet[encoder=resnet18,encoder_weights=none,size=32]"],
        refiner=["identity", "prn"],
        parameters=["prn.size=32"],
        epochs=1,
        device="cpu",
        engine="inline",
        store="store",
    )
    # The report need not be told with which options the table was run.
    results = bench.load("store", experiment="table4")
    (miou, mba) = results.published()
    assert (miou.key, mba.key) == ("table4-miou", "table4-mba")
    table = results.table().set_index("refiner")
    column = [field.key for field in miou.fields].index("measured")
    refined = next(name for name in table.index if name.startswith("prn["))
    assert [row[column] for row in miou.rows] == [
        pytest.approx(table.iou_dataset["identity"]),
        None,
        pytest.approx(table.iou_dataset[refined]),
    ]
    text = results.report()
    assert "## Table 4 of the paper, mIoU" in text and "another set-up: quickstart[" in text
    assert "## Table 4 of the paper, mBA" in text and "## Table 4 of the paper, mBA" in str(results)


def test_it_is_printed_after_the_tables_and_written_beside_them(
    store: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for refiner, iou in (("identity", [0.25, 0.5]), ("prn", [0.5, 0.75])):
        add(store, refiner, records(iou, intersection=[1, 2], union=4), dataset="kvasir", base="unet")
    report = ["report", "--store", store.address, "--experiment", "table3"]
    for more in ([], ["--wide"], ["--markdown"]):
        assert main([*report, *more]) == 0
        out = capsys.readouterr().out
        assert 0 < out.index("prn") < out.index("## Table 3 of the paper, mIoU") < out.index("U-Net + PRN")
    assert main([*report, "--csv", "--markdown", "--out", "written"]) == 0
    names = ["report-table3-mba.csv", "report-table3-miou.csv", "report.csv", "report.md"]
    assert sorted(path.name for path in (tmp_path / "written").iterdir()) == names
    sheet = pd.read_csv(tmp_path / "written" / "report-table3-miou.csv")
    rows = sheet[sheet.measured.notna()]
    assert list(rows.row) == ["U-Net", "U-Net + PRN"] and list(rows.measured) == [0.375, 0.375]
    assert list(rows.difference) == pytest.approx([0.375 - 0.415, 0.375 - 0.478])
    for form, suffix, says in (("--json", "json", '"key": "table3-miou"'), ("--latex", "tex", "Table 3 of the paper")):
        assert main([*report, form, "--out", "more"]) == 0
        assert says in (tmp_path / "more" / f"report.{suffix}").read_text()
    assert main([*report, "--xlsx", "--out", "more"]) == 0
    assert "table3-mba" in pd.ExcelFile(tmp_path / "more" / "report.xlsx").sheet_names
    capsys.readouterr()
    # One table a file.
    assert main([*report, "--csv"]) == 0
    assert "published" not in capsys.readouterr().out


def test_cells_of_the_experiment_come_before_those_of_other_options(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    add(store, "prn", [0.5], dataset="quickstart", base="unet")
    report = ["report", "--store", store.address, "--experiment", "table3", "--csv"]
    assert main(report) == 0
    captured = capsys.readouterr()
    assert "quickstart" in captured.out and captured.err.count("\n") == 1
    assert "no cell is of the experiment as bench.toml has it" in captured.err
    add(store, "prn", [0.5], dataset="kvasir", base="unet")
    assert main(report) == 0
    captured = capsys.readouterr()
    assert "quickstart" not in captured.out and "kvasir" in captured.out and captured.err == ""


def test_other_experiments_have_no_such_sheet(store: Store) -> None:
    add(store, "prn", [0.5], dataset="kvasir", base="unet")
    assert bench.load(store.address, experiment="refiners").published() == []
    assert bench.load(store.address).published() == []
