from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.contracts import UserError
from bench.metrics.columns import RECORD_COLUMNS
from bench.store import Manifest, Store


def manifest(**changes: object) -> Manifest:
    fields = {
        "key": "k" * 32,
        "status": "done",
        "dataset": "d",
        "base": "b",
        "refiner": "r[size=128]",
        "seed": 0,
        "protocol": "A",
    }
    return Manifest.model_validate(fields | changes)


def records() -> pd.DataFrame:
    row = {name: 1 if kind == "int64" else 0.5 for name, kind in RECORD_COLUMNS.items()}
    return pd.DataFrame([row | {"id": "x/1", "energy_j": None}])


def test_a_cell_comes_back_as_it_was_written(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.open_for_writing()
    store.write(manifest(), records())
    assert store.is_done(manifest())
    assert store.manifests() == [manifest()]
    frame = store.records(manifest())
    assert list(frame.columns) == list(RECORD_COLUMNS)
    assert frame.id.tolist() == ["x/1"] and frame.energy_j.isna().all()


def test_a_planned_or_failed_cell_is_not_done(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(manifest(status="planned"))
    assert not store.is_done(manifest())
    store.write(manifest(status="failed", error="no"))
    assert not store.is_done(manifest())


def test_a_manifest_without_its_records_is_not_done(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(manifest(), records())
    next((tmp_path / "cells").glob("*.parquet")).unlink()
    assert not store.is_done(manifest())
    with pytest.raises(UserError, match="--force"):
        store.records(manifest())


def test_a_write_that_fails_leaves_the_old_cell(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(manifest(), records())
    with pytest.raises(KeyError):
        store.write(manifest(), records().drop(columns="iou"))
    assert store.records(manifest()).iou.tolist() == [0.5]
    assert not list((tmp_path / "cells").glob(".*"))


def test_a_store_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    with pytest.raises(UserError, match="name a writable folder with --store"):
        Store(blocker / "store").open_for_writing()


def test_reading_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no store here"):
        Store(tmp_path / "absent").open_for_reading()


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "torn.json").write_text('{"key": ')
    with pytest.raises(UserError, match=r"torn\.json"):
        Store(tmp_path).manifests()
