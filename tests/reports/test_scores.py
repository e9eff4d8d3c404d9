from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.contracts import UserError
from bench.metrics.columns import COSTS, IMAGE_METRICS
from bench.reports import FORMATS, assemble, build, read, scores
from bench.reports.columns import mean
from bench.store import Manifest, Store
from tests.reports.stores import NAN, add, records

CURVE = {"title": "F", "meaning": "F", "better": "higher", "scale": 1, "digits": 3, "curve": 2}


def filled(folder: Path) -> Store:
    """Two seeds, two refiners, a plugged-in curve, values that are not defined."""
    store, draw = Store(folder), np.random.default_rng(1)
    for seed in (0, 1):
        for name in ("identity", "prn"):
            frame = records(draw.random(40), seconds=draw.random(40), f=draw.random((40, 2)).tolist())
            for column in ("boundary_iou", "boundary_accuracy", "energy_j"):
                frame[column] = np.where(draw.random(40) < 0.2, NAN, draw.random(40))
            add(store, name, frame, seed=seed, metrics={"f": CURVE})
    return store


def test_a_row_has_what_pandas_makes_of_its_records(tmp_path: Path) -> None:
    store = filled(tmp_path)
    (block,) = build(store).groups[0].blocks
    row = next(row for row in block.rows if row.refiner == "prn")
    frames = [store.records(cell).set_index("id") for cell in store.manifests() if cell.refiner == "prn"]
    for metric in IMAGE_METRICS:
        by_image = (frames[0][metric.key] + frames[1][metric.key]) / 2
        assert row.values[metric.key] == (pytest.approx(by_image.mean()) if by_image.notna().any() else None)
    for cost in COSTS:
        value = pd.concat([frame[cost.key] for frame in frames]).agg(cost.over_images)
        assert row.values[cost.key] == (None if np.isnan(value) else pytest.approx(value))
    assert row.values["iou_spread"] == pytest.approx(np.std([frame.iou.mean() for frame in frames], ddof=1))


@given(st.lists(st.floats(0, 1) | st.just(NAN), max_size=300))
def test_a_mean_leaves_out_what_is_not_defined(values: list[float]) -> None:
    expected = pd.Series(values, dtype="float64").mean()
    assert mean(np.array(values, np.float64)) == pytest.approx(expected, nan_ok=True)


def test_what_had_no_room_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = filled(tmp_path)
    render = FORMATS["json"].render
    before = render(build(store))
    monkeypatch.setattr(scores, "ROOM", 0)
    assert render(build(store)) == before


@pytest.mark.parametrize("change", ["gone", "torn"])
def test_what_has_changed_when_it_is_read_again_is_said(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores, "ROOM", 0)
    found = read(filled(tmp_path), "identity")
    for path in (tmp_path / "cells").rglob("*__prn__*.parquet"):
        path.unlink() if change == "gone" else path.write_bytes(path.read_bytes()[:-9] + b"otherwise")
    with pytest.raises(UserError, match="it was whole when it was first read"):
        assemble(found, "identity")


def test_no_column_is_decoded_that_no_table_shows(tmp_path: Path) -> None:
    asked: set[str] = set()

    class Watched(Store):
        def columns(self, cell: Manifest, names: Iterable[str]) -> pa.Table:
            found = super().columns(cell, names)
            asked.update(found.column_names)
            return found

        def records(self, cell: Manifest) -> pd.DataFrame:
            raise AssertionError("all columns were read")

    store = Watched(tmp_path)
    add(store, "identity", records([0.5], f=[[1.0, 2.0]]), metrics={"f": {**CURVE, "summary": "none"}})
    report = build(store)
    for form in FORMATS.values():
        form.render(report)
    assert asked == {
        *("id", "iou", "boundary_iou", "boundary_iou_2pct", "boundary_accuracy", "mae", "intersection", "union"),
        *("seconds", "base_seconds", "peak_gpu_mb", "peak_gpu_nvml_mb", "peak_rss_mb", "energy_j"),
    }


def test_cells_of_the_same_images_have_the_same_ids(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keys = [
        add(store, name, records([0.1, 0.2], id=ids)).key
        for name, ids in {"identity": ["a", "b"], "prn": ["a", "b"], "crf": ["b", "a"]}.items()
    ]
    found = read(store, "identity").scores
    one, same, other = (found[key].images for key in keys)
    assert one is same and list(one) == ["a", "b"] and list(other) == ["b", "a"]


def test_a_curve_of_another_length_is_damaged(tmp_path: Path) -> None:
    store = Store(tmp_path)
    # Four values an image in all, as the manifest has it: nobody would notice by their number.
    add(store, "identity", records([0.5, 0.5], f=[[1.0], [1.0, 2.0, 3.0]]), metrics={"f": CURVE})
    report = build(store)
    assert report.groups[0].blocks[0].rows[0].status == "damaged"
    assert "f is no curve of 2 values" in report.damaged[0]
