"""``bench compare``: a planted regression is found, a rerun is silent, what is not comparable is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest
from numpy.typing import NDArray

import bench
from bench.cli import main
from bench.contracts import UserError
from bench.store import Store
from tests.reports.stores import add, records

IMAGES = 200


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ious(seed: int = 0) -> NDArray[np.float64]:
    """As a base of some quality has them: most images good, a tail of bad ones."""
    return np.random.default_rng(seed).beta(8, 1.5, IMAGES)


def fill(name: str, values: dict[str, Any], **fields: Any) -> str:
    store = Store(name)
    for place, (refiner, iou) in enumerate(values.items()):
        add(store, refiner, iou, position=place, **fields)
    return name


def worse(iou: NDArray[np.float64], points: float, share: float = 0.2) -> NDArray[np.float64]:
    """The same but for a share of the images, which move by noisy amounts: the mean falls by ``points``."""
    drawn = np.random.default_rng(1)
    moved = drawn.choice(IMAGES, int(share * IMAGES), replace=False)
    change = drawn.normal(0, 0.02, len(moved))
    change += -points / 100 / share - change.mean()
    lower = iou.copy()
    lower[moved] += change
    return lower


def changes_of(a: str, b: str, **options: Any) -> list[dict[str, Any]]:
    found = json.loads(bench.compare(a, b, **options).report("json"))
    return [row for sheet in found["sheets"] if sheet["key"] == "changes" for row in sheet["rows"]]


def test_half_a_point_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    iou = ious()
    a = fill("a", {"identity": iou, "prn": iou + 0.02})
    b = fill("b", {"identity": iou, "prn": worse(iou + 0.02, 0.5)})
    assert main(["compare", a, b]) == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1].startswith("- Worse: 1 cell regressed, the most roads > unet > prn (seed 0): mIoU -0.5 [")
    assert printed[-1].endswith("of 2 compared cells, 1 equal bit for bit, 0 improved, 0 changed otherwise.")
    (row,) = changes_of(a, b)
    assert (row["refiner"], row["metric"], row["verdict"], row["changed"]) == ("prn", "mIoU", "regressed", 40)
    assert row["change"] == pytest.approx(-0.005) and row["b"] - row["a"] == pytest.approx(-0.005)
    # The interval against normal theory: the mean of 200 differences has a known standard error.
    error = (worse(iou + 0.02, 0.5) - (iou + 0.02)).std(ddof=1) / IMAGES**0.5
    assert row["low"] == pytest.approx(-0.005 - 1.96 * error, abs=0.3 * error)
    assert row["high"] == pytest.approx(-0.005 + 1.96 * error, abs=0.3 * error)
    assert main(["compare", b, a]) == 0  # the other way round it is an improvement
    assert "Nothing regressed by more than 0.1 points: of 2 compared cells, 1 equal" in capsys.readouterr().out


def test_the_tolerance_and_the_interval_both_have_to_be_exceeded() -> None:
    iou = ious()
    a = fill("a", {"prn": iou})
    b = fill("b", {"prn": worse(iou, 0.5)})
    assert bench.compare(a, b, tolerance=0.49).regressed and not bench.compare(a, b, tolerance=0.51).regressed
    noisy = iou + np.random.default_rng(2).normal(0, 0.2, IMAGES)
    noisy += -0.005 - (noisy - iou).mean()
    (row,) = changes_of(a, fill("noisy", {"prn": noisy}))
    assert row["low"] < 0 < row["high"] and row["verdict"] == "changed"


def test_a_rerun_is_silent_whatever_it_cost(capsys: pytest.CaptureFixture[str]) -> None:
    nan = np.where(ious(3) < 0.6, np.nan, ious(3))
    frame = records(list(ious()), boundary_iou=nan, seconds=0.1)
    a = fill("a", {"identity": ious(), "prn": frame})
    b = fill("b", {"identity": ious(), "prn": frame.assign(seconds=0.25)})
    assert main(["compare", a, b]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1] == "- No difference: 2 compared cells, all equal bit for bit."
    assert "regressed" not in printed.split("## Summary")[0] and "2.50" in printed
    assert changes_of(a, b) == []


def test_the_last_bit_is_a_change() -> None:
    iou = ious()
    later = iou.copy()
    later[7] = np.nextafter(later[7], 0)
    (row,) = changes_of(fill("a", {"prn": iou}), fill("b", {"prn": later}))
    assert (row["changed"], row["verdict"]) == (1, "changed")


def test_lower_is_better_for_some() -> None:
    mae = np.linspace(0.01, 0.05, IMAGES)
    a = fill("a", {"prn": records(list(ious()), mae=mae)})
    higher, lower = (fill(name, {"prn": records(list(ious()), mae=mae * by)}) for name, by in (("h", 1.2), ("l", 0.8)))
    assert [row["verdict"] for row in changes_of(a, higher)] == ["regressed"]
    assert [row["verdict"] for row in changes_of(a, lower)] == ["improved"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"protocol": "B"}, "not comparable, the protocol: A in A, B in B"),
        ({"rules": "mine"}, "not comparable, the rules of the benchmark: refinebench-v1 in A, mine in B"),
        ({"limit": 20}, "not comparable, the limit: none in A, 20 in B"),
        ({"layout": 2}, "not comparable, the layout of the store: 3 in A, 2 in B"),
        ({"identity": {"test": "files", "metrics": 2}}, "not comparable, the version of the metrics: 1 in A, 2 in B"),
        ({"identity": {"test": "others", "metrics": 1}}, "not comparable, the test images: files in A, others in B"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_another_protocol_is_refused_in_one_line(
    fields: dict[str, Any], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = fill("a", {"prn": ious()}), fill("b", {"prn": ious()}, **fields)
    assert main(["compare", a, b]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith(f"bench: error: {says} (roads > unet > prn (seed 0)): ")


def test_other_images_under_one_fingerprint_are_refused() -> None:
    a, b = fill("a", {"prn": [0.5, 0.6]}), fill("b", {"prn": [0.5, 0.6, 0.7]})
    with pytest.raises(UserError, match="of other images in A than in B"):
        bench.compare(a, b)


def test_bad_calls_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    a, b = fill("a", {"prn": ious()}), fill("b", {"crf": ious()})
    for options, says in (
        ([a, b], "A and B share no finished cell"),
        ([a, "nowhere"], "no store here"),
        ([a, a, "--tolerance", "-1"], "-1 is no tolerance"),
        ([a, a, "--tolerance", "nan"], "nan is no tolerance"),
        ([a, a, "--experiment", "mine"], "no such experiment 'mine'"),
        ([a, a, "--xlsx"], "a workbook is no text that can be printed (--xlsx)"),
    ):
        assert main(["compare", *options]) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and says in captured.err and captured.err.count("\n") == 1


def test_cells_of_one_store_and_one_that_fails_now(capsys: pytest.CaptureFixture[str]) -> None:
    a = fill("a", {"identity": ious(), "crf": ious(), "old": ious()})
    b = fill("b", {"identity": ious(), "new": ious()})
    add(Store(b), "crf", None, status="failed", error="no memory")
    assert main(["compare", a, b]) == 1
    printed = capsys.readouterr().out
    lines = [[cell.strip() for cell in line.split("|")] for line in printed.splitlines()]
    assert [cells[4:8] for cells in lines if "not in" in str(cells) or "failed:" in str(cells)] == [
        ["crf", "0", "A", "failed: no memory in B"],
        ["old", "0", "A", "not in B"],
        ["new", "0", "B", "not in A"],
    ]
    assert "1 cell of A failed in B: roads > unet > crf (seed 0)" in printed.splitlines()[-1]


def test_maps_of_two_folders_are_paired_by_what_they_are_called() -> None:
    def names(folder: str) -> dict[str, Any]:
        return {"base": {"name": "maps", "parameters": {"path": "m"}, "paths": {"path": f"/{folder}/m"}}}

    a = fill("a", {"prn": ious()}, base="maps[path=m]", names=names("before"))
    b = fill("b", {"prn": worse(ious(), 0.5)}, base="maps[path=m]", names=names("after"))
    assert bench.compare(a, b).regressed


def test_plugged_in_metrics_in_units_of_their_own_are_shown_and_not_judged() -> None:
    facts = {"meaning": "m", "better": "lower", "digits": 1}
    metrics = {"px": {**facts, "title": "px", "scale": 1}, "err": {**facts, "title": "err", "scale": 100}}
    px = np.linspace(1, 5, IMAGES)
    a = fill("a", {"prn": records(list(ious()), px=px, err=px / 100)}, metrics=metrics)
    b = fill("b", {"prn": records(list(ious()), px=2 * px, err=2 * px / 100)}, metrics=metrics)
    found = {sheet.key: sheet.rows for sheet in bench.compare(a, b).sheets}
    assert [(row[5], row[-1]) for row in found["changes"]] == [("err", "regressed")]
    assert [row[5] for row in found["further"]] == ["px"]


def test_an_experiment_alone_and_every_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bench.toml").write_text(
        "[experiments.e]\ndataset = ['kvasir']\nbase = ['unet']\nrefiner = ['morphology']\n", encoding="utf-8"
    )
    a = fill("a", {"morphology": ious(), "threshold": ious()}, dataset="kvasir")
    b = fill("b", {"morphology": ious(), "threshold": worse(ious(), 1)}, dataset="kvasir")
    assert main(["compare", a, b, "--experiment", "e"]) == 0
    capsys.readouterr()
    forms = ["--markdown", "--latex", "--csv", "--json", "--xlsx"]
    assert main(["compare", a, b, *forms, "--out", "out"]) == 1
    assert "kvasir > unet > threshold (seed 0): mIoU -1.0 [" in capsys.readouterr().out.splitlines()[-1]
    csvs = [f"compare-{name}.csv" for name in ("cells", "changes", "summary")]
    others = [f"compare.{suffix}" for suffix in ("json", "md", "tex", "xlsx")]
    assert sorted(path.name for path in Path("out").iterdir()) == [*csvs, *others]
    book = openpyxl.load_workbook("out/compare.xlsx")
    assert book.sheetnames == ["changes", "cells", "summary", "legend"]
    names = [cell.value for cell in book["changes"][1]]
    assert book["changes"][2][names.index("B - A")].value == pytest.approx(-1.0)
