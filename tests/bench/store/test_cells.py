from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from bench.contracts import UserError
from bench.metrics.columns import RECORD_COLUMNS
from bench.store import LAYOUT, Manifest, Store
from bench.store.cells import as_table
from tests.reports.stores import leave_earlier


def manifest(**changes: object) -> Manifest:
    fields = {
        "key": "k" * 12 + "0" * 20,
        "status": "done",
        "dataset": "d",
        "base": "b",
        "refiner": "r[size=128]",
        "seed": 0,
        "protocol": "A",
        "layout": LAYOUT,
    }
    return Manifest.model_validate(fields | changes)


def records(*ids: str) -> pd.DataFrame:
    row = {name: 1 if kind == "int64" else 0.5 for name, kind in RECORD_COLUMNS.items()}
    return pd.DataFrame([row | {"id": sample_id, "energy_j": None} for sample_id in ids or ["x/1"]])


def images(store: Store) -> list[list[str]]:
    return [store.records(cell).id.tolist() for cell in store.manifests() if cell.status == "done"]


def test_a_cell_comes_back_as_it_was_written(store: Store) -> None:
    store.open_for_writing()
    store.add(manifest(generation=3), records())
    (found,) = store.manifests()
    assert found == store.find(manifest()) and (found.images, found.generation, found.key) == (
        1,
        3,
        "k" * 12 + "0" * 20,
    )
    frame = store.records(found)
    assert list(frame.columns) == list(RECORD_COLUMNS)
    assert frame.id.tolist() == ["x/1"] and frame.energy_j.isna().all()


def test_a_planned_or_failed_cell_is_not_done_and_never_replaces_one_that_is(store: Store) -> None:
    store.enter(manifest(status="planned"))
    assert store.find(manifest()) is None
    store.enter(manifest(status="failed", error="no", refiner="otherwise called"))
    assert store.find(manifest()) is None
    assert [(cell.status, cell.refiner) for cell in store.manifests()] == [("failed", "otherwise called")]
    store.add(manifest(generation=1), records())
    assert [cell.status for cell in store.manifests()] == ["done"]
    store.enter(manifest(status="failed", error="late", generation=1))
    assert [cell.status for cell in store.manifests()] == ["done"] and store.find(manifest()) is not None
    store.enter(manifest(status="failed", error="later", generation=2))
    assert [cell.status for cell in store.manifests()] == ["done", "failed"] and images(store) == [["x/1"]]
    store.tidy()
    assert [cell.status for cell in store.manifests()] == ["done", "failed"]


def test_the_generation_decides_and_an_earlier_one_goes_when_the_later_is_there(store: Store) -> None:
    assert store.generation() == 1
    store.add(manifest(generation=1), records())
    assert store.generation() == 2
    assert store.find(manifest(), least=2) is None
    store.add(manifest(generation=2), records("y"))
    assert images(store) == [["y"]] and len(store.objects.tree("cells")) == 2


def test_what_comes_late_overwrites_nothing(store: Store) -> None:
    """A process that was frozen before it wrote its manifest wakes up after another one has written the cell."""
    late = Store(store.address)

    def another_is_faster() -> None:
        store.add(manifest(generation=1), records("faster"))

    cell = manifest(generation=1)
    late._cells.add(cell, [as_table(cell, records("late"))], another_is_faster)
    assert images(store) == [["faster"]] and store.find(manifest()) is not None
    store.tidy()
    assert images(store) == [["faster"]]


def test_each_look_sees_what_other_processes_have_written(store: Store) -> None:
    other = Store(store.address)
    store.enter(manifest(status="failed", error="one"))
    assert [cell.error for cell in store.manifests()] == ["one"]
    other.enter(manifest(status="failed", error="two"))  # as long as before, in the same file
    assert [cell.error for cell in store.manifests()] == ["two"]
    other.add(manifest(generation=1), records())
    assert [cell.status for cell in store.manifests()] == ["done"] and store.find(manifest()) is not None
    (name,) = (name for name in other.objects.tree("cells") if name.endswith(".json"))
    whole = other.objects.read(name)
    other.objects.replace(name, whole.replace(b'"images": 1', b'"images": 9'))
    assert store.readable()[0] == [] and store.find(manifest()) is None
    other.objects.replace(name, whole)
    assert store.finished([(manifest(), 1)]) == {manifest().key}
    other.objects.delete(name)
    assert store.manifests() == [] and store.finished([(manifest(), 1)]) == set()


def test_a_store_travels_without_what_it_has_read(store: Store) -> None:
    store.add(manifest(remarks=["a long remark"]), records())
    before = store.manifests()
    travelling = pickle.dumps(store)
    assert b"a long remark" not in travelling and pickle.loads(travelling).manifests() == before


def test_columns_are_read_alone_and_checked_as_a_whole(store: Store) -> None:
    store.add(manifest(), records("a", "b"))
    (cell,) = store.manifests()
    table = store.columns(cell, ["iou", "base_seconds", "unheard_of"])
    assert table.column_names == ["iou", "base_seconds"] and table["iou"].to_pylist() == [0.5, 0.5]
    (name,) = (name for name in store.objects.tree("cells") if name.endswith(".parquet"))
    content = store.objects.read(name)
    store.objects.replace(name, content[:200] + b"\0" + content[201:])
    with pytest.raises(UserError, match="their digest differs"):
        store.columns(cell, ["iou"])
    store.objects.delete(name)
    with pytest.raises(UserError, match="no such file"):
        store.columns(cell, ["iou"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame.drop(columns="mae"), "without the column mae"),
        (lambda frame: frame.iloc[:1], "1 rows for 2 images"),
    ],
)
def test_columns_of_an_earlier_version_are_checked(
    change: Callable[[pd.DataFrame], pd.DataFrame], said: str, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    leave_earlier(store, manifest(layout=2, images=2), change(records("a", "b")))
    (cell,) = store.manifests()
    for look in (store.records, lambda cell: store.columns(cell, ["iou"])):
        with pytest.raises(UserError, match=said):
            look(cell)


def test_a_manifest_without_its_records_is_not_done(store: Store) -> None:
    store.add(manifest(), records())
    (name,) = (name for name in store.objects.tree("cells") if name.endswith(".parquet"))
    store.objects.delete(name)
    assert store.find(manifest()) is None
    with pytest.raises(UserError, match="run the cell again"):
        store.records(store.manifests()[0])


def test_a_write_that_fails_leaves_the_old_cell(store: Store) -> None:
    store.add(manifest(generation=1), records())
    with pytest.raises(KeyError):
        store.add(manifest(generation=2), records().drop(columns="iou"))
    assert images(store) == [["x/1"]] and len(store.objects.tree("cells")) == 2


def test_cells_of_layout_2_are_found_again_and_get_digests(tmp_path: Path) -> None:
    store = Store(tmp_path)
    earlier = manifest(layout=2, images=1, identity={"test": "files", "base": {"base": {}}})
    leave_earlier(store, earlier, records())
    leave_earlier(store, manifest(key="p" * 32, layout=2, status="planned", identity=earlier.identity), None)
    assert store.find(manifest()) is not None
    store.refresh([])
    assert [(cell.status, cell.layout) for cell in store.manifests()] == [("done", LAYOUT), ("planned", LAYOUT)]
    assert images(store) == [["x/1"]] and len(store.objects.tree("cells")) == 3
    (path,) = (tmp_path / "cells").glob("*/*.parquet")
    records("z").to_parquet(path)
    assert store.find(manifest()) is None


def test_a_store_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("in the way")
    with pytest.raises(UserError, match="name a writable folder or bucket with --store"):
        Store(blocker / "store").open_for_writing()


def test_reading_where_there_is_none(store: Store) -> None:
    with pytest.raises(UserError, match="no store here"):
        store.open_for_reading()


def test_a_damaged_manifest_is_named(store: Store) -> None:
    store.objects.replace("cells/torn.json", b'{"key": ')
    with pytest.raises(UserError, match=r"torn\.json"):
        store.manifests()
