from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.store import Store
from reports import FORMATS, build
from tests.reports.stores import add


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


def test_what_is_not_known_is_empty(lines: dict[str, dict[Any, Any]]) -> None:
    assert math.isnan(lines["identity"]["iou_gain"])
    assert math.isnan(lines["crf"]["iou"])
    assert math.isnan(lines["identity"]["peak_gpu_mb"])
