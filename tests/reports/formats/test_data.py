"""The whole report as JSON and as a workbook: the numbers of the CSV, and nothing that a program trips over."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest

from bench.cli import main
from bench.reports import BINARY, FORMATS, build
from bench.reports.formats import xlsx
from bench.reports.sheets import Field, Sheet
from bench.reports.tables import Report
from bench.store import Store
from tests.reports.stores import add, records

IOU = np.random.default_rng(0).uniform(0.3, 0.7, 110)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def report(store: Store) -> Report:
    dice = {"dice": {"title": "D", "meaning": "m", "better": "higher", "scale": 100, "digits": 1}}
    add(store, "identity", records(list(IOU), seconds=0.001), position=0)
    add(store, "=prn", records(list(IOU + 0.1), seconds=0.25, dice=IOU), position=1, metrics=dice)
    add(store, "oracle-image", list(IOU + 0.2), position=2, uses_ground_truth=True)
    add(store, "crf", None, position=3, status="failed", error="no memory")
    return build(store)


def table(report: Report) -> pd.DataFrame:
    """The CSV, by refiner."""
    frame = pd.read_csv(io.StringIO(FORMATS["csv"].render(report)))
    return frame.set_index(frame["refiner"].str.removeprefix("'"))


def strict(text: str) -> dict[str, Any]:
    def refuse(name: str) -> None:
        raise AssertionError(f"no JSON: {name}")

    found: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return found


def test_json_holds_the_numbers_of_the_csv(report: Report) -> None:
    found, expected = strict(FORMATS["json"].render(report)), table(report)
    assert set(found) == {"refinebench", "baseline", "columns", "groups", "damaged", "sheets"}
    (group,) = found["groups"]
    rows = {row["refiner"]: row for row in group["rows"]}
    assert list(rows) == list(expected.index)
    for refiner, row in rows.items():
        for key, value in row["values"].items():
            wanted = expected.loc[refiner, key]
            assert value is None if pd.isna(wanted) else value == pytest.approx(wanted)
    prn = rows["=prn"]
    assert prn["gains"]["iou"]["mean"] == pytest.approx(0.1) and prn["gains"]["iou"]["wins"] == 110
    assert prn["gains"]["boundary_iou"] is None and rows["identity"]["gains"]["iou"] is None
    assert "iou" in prn["best"] and rows["oracle-image"]["best"] == []
    assert rows["crf"]["status"] == "failed" and rows["crf"]["problem"] == "failed: no memory"
    assert {column["key"] for column in found["columns"]} == set(prn["values"])
    assert any("110 test images" in remark for remark in group["remarks"])


def test_the_workbook_holds_the_numbers_of_the_csv(report: Report) -> None:
    book = openpyxl.load_workbook(io.BytesIO(BINARY["xlsx"].render(report)))
    assert book.sheetnames == ["quality", "headroom", "cost", "legend"]
    expected = table(report)
    titles = {"mIoU": ("iou", 100), "mIoU gain from": ("iou_gain_low", 100), "refine s/image": ("seconds", 1)}
    titles |= {"of oracle-image": ("headroom_oracle-image", 100), "D": ("dice", 100), "mIoU wins": ("iou_wins", 1)}
    seen = set()
    for page in (book["quality"], book["headroom"], book["cost"]):
        head = [cell.value for cell in page[1]]
        assert page.freeze_panes == "F2" and page.max_row == 5
        for cells in page.iter_rows(min_row=2):
            row = dict(zip(head, cells, strict=True))
            for title in titles.keys() & row.keys():
                key, scale = titles[title]
                wanted = expected.loc[row["Refiner"].value, key]
                assert row[title].value == (None if pd.isna(wanted) else pytest.approx(wanted * scale))
                seen.add(title)
    assert seen == titles.keys()
    place = [cell.value for cell in book["quality"][1]].index("mIoU")
    best, oracle = book["quality"][3], book["quality"][4]
    assert best[4].value == "=prn" and best[4].data_type == "s" and best[place].font.bold
    assert oracle[4].value == "oracle-image" and not oracle[place].font.bold  # it does not compete
    said = [row[1].value for row in book["legend"]]
    assert any("110 test images" in str(line) for line in said) and any("mIoU: mean over" in str(line) for line in said)


def test_further_sheets_come_along(report: Report) -> None:
    more = Sheet(key="bias", title="Bias", fields=(Field(key="x", title="X", digits=1),), rows=((1.25,),))
    book = openpyxl.load_workbook(io.BytesIO(xlsx.render(report, [more])))
    assert book.sheetnames[-2:] == ["bias", "legend"] and book["bias"]["A2"].value == 1.25


def test_the_command_line(store: Store, report: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["report", "--store", store.address]
    assert main([*where, "--json"]) == 0
    assert strict(capsys.readouterr().out)["baseline"] == "identity"
    assert main([*where, "--markdown", "--xlsx"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == (
        "bench: error: a workbook is no text that can be printed (--xlsx): write it to a file: --out DIR\n"
    )
    assert main([*where, "--json", "--xlsx", "--out", str(tmp_path / "out")]) == 0
    assert strict((tmp_path / "out" / "report.json").read_text("utf-8"))["groups"]
    assert (tmp_path / "out" / "report.xlsx").read_bytes() == BINARY["xlsx"].render(report)
