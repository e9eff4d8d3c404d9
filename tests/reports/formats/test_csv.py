from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.plugins.metrics import TAKEN
from bench.reports import FORMATS, build
from bench.store import Store
from tests.reports.stores import add, records


@pytest.fixture
def lines(tmp_path: Path) -> dict[str, dict[Any, Any]]:
    store = Store(tmp_path)
    add(store, "identity", [0.1, 0.2, 0.4], limit=3)
    add(store, 'prn[note="a,b"]', [0.3, 0.2, 0.5], limit=3)
    add(store, "crf", None, limit=3, status="failed", error="boom, twice")
    text = FORMATS["csv"].render(build(store))
    return {line["refiner"]: dict(line) for line in pd.read_csv(io.StringIO(text)).to_dict("records")}


def test_one_line_a_row_with_names_and_status(lines: dict[str, dict[Any, Any]]) -> None:
    assert set(lines) == {"identity", 'prn[note="a,b"]', "crf"}
    assert (lines["crf"]["status"], lines["crf"]["problem"]) == ("failed", "failed: boom, twice")
    expected = {"dataset": "roads", "base": "unet", "limit": 3, "images": 3, "baseline": True}
    assert lines["identity"].items() >= expected.items()


def test_full_precision_fractions(lines: dict[str, dict[Any, Any]]) -> None:
    row = lines['prn[note="a,b"]']
    assert row["iou"] == pytest.approx(1 / 3, abs=1e-15)
    assert row["iou_gain"] == pytest.approx(0.1, abs=1e-15)
    assert row["iou_lost"] == 0
    assert row["iou_gain_low"] <= row["iou_gain"] <= row["iou_gain_high"]


def test_counts_of_images_beside_the_share(lines: dict[str, dict[Any, Any]]) -> None:
    row = lines['prn[note="a,b"]']
    assert (row["iou_wins"], row["iou_ties"], row["iou_losses"]) == (2, 1, 0)


def test_contamination_headroom_and_plugged_in_metrics(tmp_path: Path) -> None:
    store = Store(tmp_path)
    dice = {"title": "D", "meaning": "overlap", "better": "higher", "scale": 100, "digits": 1}
    add(store, "identity", [0.2, 0.4])
    add(store, "psp", records([0.3, 0.5], dice=[0.25, 0.5]), contaminated=["A", "B"], metrics={"dice": dice})
    add(store, "oracle-patch[patch=32]", [0.4, 0.8], uses_ground_truth=True)
    found = pd.read_csv(io.StringIO(FORMATS["csv"].render(build(store)))).set_index("refiner")
    assert found.loc["psp", "contaminated"] == "A B"
    assert found["contaminated"].isna().sum() == 2
    assert found.loc["psp", "dice"] == 0.375
    assert found["dice"].isna().sum() == 2
    assert found.loc["psp", "headroom_oracle-patch[patch=32]"] == pytest.approx(0.1 / 0.3)
    assert found.loc["oracle-patch[patch=32]", "headroom_oracle-patch[patch=32]"] == 1


def test_no_plugged_in_metric_can_take_a_columns_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, "identity", [0.1])
    header = FORMATS["csv"].render(build(store)).splitlines()[0].split(",")
    stems = tuple(f"{name}_" for name in ("iou", "boundary_iou"))
    assert [name for name in header if name not in TAKEN and not name.startswith(stems)] == []


def test_what_is_not_known_is_empty(lines: dict[str, dict[Any, Any]]) -> None:
    assert math.isnan(lines["identity"]["iou_gain"])
    assert math.isnan(lines["crf"]["iou"])
    assert math.isnan(lines["identity"]["peak_gpu_mb"])
