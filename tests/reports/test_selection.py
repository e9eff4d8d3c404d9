from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.contracts import UserError
from bench.reports import build
from bench.reports.selection import comparable, latest, select, told_apart
from bench.store import LAYOUT, Manifest, Store, VariantName
from tests.reports.stores import add


def cell(key: str, written: str, status: str = "done", **fields: Any) -> Manifest:
    defaults = {"dataset": "roads", "base": "unet", "refiner": "prn", "seed": 0, "protocol": "A"}
    return Manifest.model_validate({**defaults, "key": key, "written": written, "status": status, **fields})


def test_newest_finished_cell_of_a_name_wins() -> None:
    (shown,) = latest([cell("b", "2026-02-01"), cell("c", "2026-03-01"), cell("a", "2026-01-01")])
    assert shown.manifest.key == "c"
    assert shown.superseded == 2
    assert shown.newer is None


def test_the_generation_decides_where_a_clock_was_set_back() -> None:
    (shown,) = latest([cell("a", "2026-03-01", generation=1), cell("b", "2026-01-01", generation=2)])
    assert shown.manifest.key == "b" and shown.superseded == 1
    (shown,) = latest([cell("a", "2026-03-01", generation=1), cell("b", "2026-01-01", "failed", generation=2)])
    assert shown.manifest.key == "a" and shown.newer is not None and shown.newer.key == "b"


def test_a_newer_cell_that_failed_does_not_hide_the_numbers_but_is_told() -> None:
    (shown,) = latest([cell("a", "2026-01-01"), cell("b", "2026-02-01", "failed", error="boom")])
    assert shown.manifest.key == "a"
    assert shown.superseded == 0
    assert shown.newer is not None and shown.newer.error == "boom"


def test_without_a_finished_cell_the_newest_attempt_is_shown() -> None:
    (shown,) = latest([cell("a", "", "planned"), cell("b", "2026-01-01", "failed")])
    assert shown.manifest.key == "b"


@pytest.mark.parametrize(
    "other", [{"dataset": "x"}, {"base": "x"}, {"refiner": "x"}, {"seed": 1}, {"protocol": "B"}, {"limit": 5}]
)
def test_another_name_is_another_cell(other: dict[str, Any]) -> None:
    assert len(latest([cell("a", "1"), cell("b", "2", **other)])) == 2


def test_cells_come_in_the_order_of_the_grid() -> None:
    planned = [("zebra", 0), ("ant", 2), ("moth", 1)]
    cells = latest(cell(name, "1", refiner=name, position=position) for name, position in planned)
    assert [shown.manifest.refiner for shown in cells] == ["zebra", "moth", "ant"]


@pytest.mark.parametrize("part", ["base", "test", "metrics"])
def test_cells_of_other_maps_or_images_do_not_compare(part: str) -> None:
    identity = {"base": 1, "test": 2, "metrics": 3}
    one = cell("a", "1", identity=identity)
    assert comparable(one, cell("b", "1", refiner="identity", identity={**identity, "refiner": 7}))
    assert not comparable(one, cell("b", "1", refiner="identity", identity={**identity, part: 9}))


def test_the_baseline_of_kept_cells_comes_along(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, "identity", [0.5])
    add(store, "identity", [0.5], base="psp")
    add(store, "threshold", [0.5])
    add(store, "prn", [0.6])
    found = select(store.manifests(), "identity", lambda manifest: manifest.refiner == "prn")
    assert {(shown.manifest.base, shown.manifest.refiner) for shown in found} == {("unet", "identity"), ("unet", "prn")}


def test_nothing_to_show_is_the_users_to_fix(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(UserError, match="no store here"):
        build(store)
    add(store, "prn", [0.6])
    with pytest.raises(UserError, match="no such cell"):
        build(store, keep=lambda manifest: False)


def test_cells_of_an_earlier_layout_are_never_taken_for_ours(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for layout, iou in ((1, 0.25), (LAYOUT, 0.75)):
        add(store, "identity", [iou], layout=layout)
        add(store, "prn", [iou], layout=layout)
    groups = {group.title: group for group in build(store).groups}
    assert groups.keys() == {"roads", "roads, earlier version"}
    for title, iou in (("roads, earlier version", 0.25), ("roads", 0.75)):
        assert [row.values["iou"] for row in groups[title].blocks[0].rows] == [iou, iou]
        assert ("earlier version of the program" in " ".join(groups[title].remarks)) == (iou == 0.25)


@pytest.mark.parametrize(
    ("paths", "shown"),
    [
        ({"path": ("/a/m", "/b/m")}, ("maps[path=a/m]", "maps[path=b/m]")),
        ({"path": ("/x/m", "/x/b/m")}, ("maps[path=x/m]", "maps[path=b/m]")),
        ({"path": ("/x/a/c/m", "/x/b/c/m")}, ("maps[path=a/c/m]", "maps[path=b/c/m]")),
        ({"path": ("/x/m", "/x/m"), "ids": ("/a/i", "/b/i")}, ("maps[path=m,ids=a/i]", "maps[path=m,ids=b/i]")),
    ],
)
def test_paths_that_end_alike_show_what_differs(paths: dict[str, tuple[str, str]], shown: tuple[str, str]) -> None:
    one, other = (
        VariantName(
            name="maps",
            parameters={key: Path(both[index]).name for key, both in paths.items()},
            paths={key: both[index] for key, both in paths.items()},
        )
        for index in range(2)
    )
    assert tuple(told_apart([one, other]).values()) == shown
