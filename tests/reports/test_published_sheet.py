"""What is measured beside what the paper prints: in its order, and compared only where it is the same thing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.reports import read
from bench.reports.published import PaperTable, load
from bench.reports.published_sheet import sheets
from bench.reports.sheets import Sheet
from bench.store import Store
from tests.reports.stores import add, records


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    store.open_for_writing()
    return store


def told(store: Store, experiment: str, key: str = "miou") -> list[dict[str, Any]]:
    """The rows of one sheet by the keys of its columns, as raw values; a column that is left out is None."""
    return rows_of(one_sheet(store, experiment, key))


def one_sheet(store: Store, experiment: str, key: str = "miou") -> Sheet:
    (found,) = [sheet for sheet in sheets(read(store, "identity"), paper(experiment)) if sheet.key.endswith(f"-{key}")]
    return found


def rows_of(sheet: Sheet) -> list[dict[str, Any]]:
    keys = ["block", "row", "measured", "mean_iou", "published", "difference", "gain", "published_gain", "set_up"]
    names = [field.key for field in sheet.fields]
    return [dict.fromkeys(keys) | dict(zip(names, row, strict=True)) for row in sheet.rows]


def paper(experiment: str) -> PaperTable:
    table = load().of_experiment(experiment)
    assert table is not None
    return table


def kvasir(intersection: list[int], union: list[int], **columns: Any) -> pd.DataFrame:
    """Records of 24 images: the whole of the paper's split."""
    times = 24 // len(union)
    pooled = [intersection * times, union * times]
    shares = [one / other for one, other in zip(*pooled, strict=True)]
    return records(shares, intersection=pooled[0], union=pooled[1], **columns)


def test_the_rows_are_the_papers_in_its_order_and_say_what_they_lack(store: Store) -> None:
    add(store, "prn", kvasir([1], [2]), dataset="kvasir", base="unet")
    table = paper("table3")
    rows = told(store, "table3")
    assert [(row["block"], row["row"]) for row in rows] == [(row.block, row.label) for row in table.rows]
    assert {row["set_up"] for row in rows if row["block"] == "DeepGlobe"} == {"dataset not run"}
    alone, refined, *others = rows[14:]
    assert alone["set_up"] == "not in this store: bench run --experiment table3-kvasir --base unet --refiner identity"
    assert refined["measured"] == pytest.approx(0.5) and refined["set_up"] == ""
    assert others[1]["set_up"] == "not in this store: bench run --experiment table3-kvasir --base resunet --refiner prn"
    assert any("bench run --experiment table3-deepglobe" in note for note in one_sheet(store, "table3").notes)


def test_differences_and_gains_are_of_the_pooled_iou(store: Store) -> None:
    # Pooled: 30/100 and 50/100. The means of the images' IoUs are others: (1/10 + 29/90) / 2 and (9/10 + 41/90) / 2.
    add(store, "identity", kvasir([1, 29], [10, 90], boundary_iou=0.25), dataset="kvasir", base="unet")
    add(store, "prn", kvasir([9, 41], [10, 90], boundary_iou=0.5), dataset="kvasir", base="unet")
    alone, refined = told(store, "table3-kvasir")[:2]
    assert (alone["measured"], refined["measured"]) == (pytest.approx(0.3), pytest.approx(0.5))
    assert refined["mean_iou"] == pytest.approx((9 / 10 + 41 / 90) / 2)
    # The paper's: 41.5, and 47.8 with a gain of 6.3.
    assert (alone["published"], refined["published"], refined["published_gain"]) == (0.415, 0.478, 0.063)
    assert (alone["difference"], refined["difference"]) == (pytest.approx(-0.115), pytest.approx(0.022))
    assert alone["gain"] is None and refined["gain"] == pytest.approx(0.2)
    texts = one_sheet(store, "table3-kvasir").texts()
    assert texts[1][1:] == ["U-Net + PRN", "50.00", "67.78", "47.8", "+2.2", "+20.0", "+6.3", ""]
    boundary = told(store, "table3-kvasir", "mba")[1]
    assert (boundary["measured"], boundary["published"], boundary["gain"]) == (0.5, 0.463, 0.25)
    assert boundary["mean_iou"] is None


def test_another_dataset_or_base_stands_beside_the_row_without_a_difference(store: Store) -> None:
    for dataset, base in (("quickstart", "unet"), ("quickstart", "dlinknet"), ("deepglobe", "coanet")):
        add(store, "identity", [0.25], dataset=dataset, base=base)
        add(store, "prn", [0.5], dataset=dataset, base=base)
    of_one_base = [row for row in told(store, "table2") if row["row"] == "local + global"]
    places = ["deepglobe x coanet", "quickstart x dlinknet", "quickstart x unet"]
    assert [row["set_up"].split(";")[0] for row in of_one_base] == [f"another set-up: {place}" for place in places]
    assert [(row["measured"], row["published"]) for row in of_one_base] == [(0.5, 0.644)] * 3
    rows = told(store, "table3")
    assert all(row["difference"] is None for row in (*of_one_base, *rows) if "another set-up" in (row["set_up"] or ""))
    measured = [(row["block"], row["row"]) for row in rows if row["measured"] is not None]
    # Beside the rows of its own base, of either dataset; where dataset and base are a row's, there alone.
    names = [("DeepGlobe", "U-Net"), ("DeepGlobe", "D-LinkNet"), ("DeepGlobe", "CoANet"), ("Kvasir-SEG", "U-Net")]
    assert measured == [(block, row + more) for block, row in names for more in ("", " + PRN")]
    exact = [row for row in rows if row["difference"] is not None]
    assert [row["row"] for row in exact] == ["CoANet", "CoANet + PRN"]
    # A base that the table lacks has no place in it.
    outside = [row for row in told(store, "table6") if row["measured"] is not None]
    assert {row["block"] for row in outside} == {"not in the paper"}
    assert all(row["published"] is None and row["difference"] is None for row in outside)


def test_the_papers_own_set_up_comes_before_another_one(store: Store) -> None:
    add(store, "prn", [0.5], dataset="quickstart", base="unet")
    add(store, "prn", [0.25], dataset="deepglobe", base="dlinknet", position=1)
    found = [row["mean_iou"] for row in told(store, "table1") if row["row"] == "C: A + PRN on val"]
    assert found == [0.25, 0.5]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"base": "unet[size=64]"}, "base unet[size=64]"),
        ({"refiner": "prn[size=64,epochs=1]"}, "refiner with size=64, epochs=1"),
        ({"limit": 8, "drawn": True}, "limit 8; 2 test images, not 24"),
        ({"complete": "6 of 1000 pairs"}, "partial copy: 6 of 1000 pairs"),
        ({"contaminated": ["Kvasir"], "contaminated_by": ["refiner"]}, "weights saw Kvasir"),
    ],
    ids=str,
)
def test_in_what_the_set_up_differs_is_said(fields: dict[str, Any], says: str, store: Store) -> None:
    add(store, iou=[0.5, 0.5], **{"refiner": "prn", "dataset": "kvasir", "base": "unet", **fields})
    row = told(store, "table3-kvasir")[1]
    assert says in row["set_up"] and row["difference"] is not None


@pytest.mark.parametrize("refiner", ["prn[branches=local]", "prn[floor=0.1]", "prn-held", "densecrf"])
def test_another_method_is_not_in_the_paper(refiner: str, store: Store) -> None:
    add(store, refiner, [0.5, 0.5], dataset="kvasir", base="unet")
    *rows, last = told(store, "table3-kvasir")
    assert all(row["measured"] is None for row in rows)
    assert (last["block"], last["row"], last["published"]) == ("not in the paper", refiner, None)
    assert last["set_up"].startswith("kvasir x unet")


def test_protocols_are_told_apart(store: Store) -> None:
    for protocol, iou in (("A", 0.5), ("B", 0.25)):
        add(store, "identity", [iou], dataset="deepglobe", base="dlinknet", protocol=protocol)
    rows = told(store, "table1")
    assert [row["mean_iou"] for row in rows] == [0.5, 0.25, None]
    assert rows[2]["set_up"].endswith("bench run --experiment table1 --base dlinknet --refiner prn --protocol A")


def test_gains_are_over_the_seeds_that_both_have(store: Store) -> None:
    for seed, base, refined in ((0, 1, 3), (1, None, 9), (2, 3, 4)):
        for refiner, count in (("identity", base), ("prn", refined)):
            if count is not None:
                add(store, refiner, kvasir([count], [10]), dataset="kvasir", base="unet", seed=seed)
    row = told(store, "table3-kvasir")[1]
    assert row["measured"] == pytest.approx((0.3 + 0.9 + 0.4) / 3)
    assert row["gain"] == pytest.approx(((0.3 - 0.1) + (0.4 - 0.3)) / 2)
    assert row["set_up"] == "mean of 3 seeds"


def test_memory_stands_beside_the_papers_without_a_difference(store: Store) -> None:
    frame = records([0.5, 0.5], peak_gpu_mb=[512.0, 1536.0])
    environment = {"device_name": "NVIDIA H100"}
    add(store, "cascadepsp[L=512]", frame, dataset="deepglobe", base="coanet", environment=environment)
    (row,) = [row for row in told(store, "table5", "memory-gb") if row["measured"] is not None]
    assert (row["row"], row["measured"], row["published"]) == ("CascadePSP L=512", 1.5, 2.12)
    assert row["difference"] is row["gain"] is None and "NVIDIA H100" in row["set_up"]


def test_an_error_keeps_its_own_scale(store: Store) -> None:
    for refiner, error in (("identity", 0.0997), ("prn", 0.08)):
        add(store, refiner, records([0.5], mae=error), dataset="duts", base="rfcn")
    row = told(store, "table6", "mae")[1]
    assert (row["measured"], row["published"]) == (0.08, 0.0807)
    assert (row["difference"], row["gain"]) == (pytest.approx(-0.0007), pytest.approx(-0.0197))


def test_what_failed_says_why(store: Store) -> None:
    error = "CascadePSP's weights are not here (/home/me/model): download them"
    failed = {"status": "failed", "error": error, "dataset": "deepglobe", "base": "coanet"}
    add(store, "cascadepsp[fast=true]", None, **failed)
    add(store, "prn", None, dataset="deepglobe", base="coanet")
    rows = {row["row"]: row for row in told(store, "table5")}
    assert rows["CascadePSP 3-level"]["set_up"] == "failed: CascadePSP's weights are not here"
    assert rows["PRN"]["set_up"] == "not finished"
