from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.reports import Report, assemble, build, read
from bench.reports.columns import QUALITY
from bench.reports.rows import Row
from bench.store import Store
from tests.reports.stores import NAN, add, records

MIOU = QUALITY[0]
MAE, SET_IOU = (next(column for column in QUALITY if column.key == key) for key in ("mae", "iou_dataset"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def rows(report: Report) -> dict[tuple[str, str], Row]:
    return {(row.base, row.refiner): row for group in report.groups for block in group.blocks for row in block.rows}


def test_numbers_by_hand(store: Store) -> None:
    add(store, "identity", [0.50, 0.70])
    counts = {"intersection": [30, 10], "union": [40, 60]}
    costs = {"seconds": [1.0, 9.0], "base_seconds": [2.0, 4.0], "peak_rss_mb": [100.0, 300.0], "energy_j": [5.0, 7.0]}
    frame = records([0.60, 0.68], mae=[0.1, 0.3], boundary_iou_2pct=[0.2, 0.4], **counts, **costs)
    add(store, "prn", frame, fit_seconds=12.0)
    row = rows(build(store))["unet", "prn"]
    assert row.values["iou"] == pytest.approx(0.64)
    assert row.values["boundary_iou_2pct"] == pytest.approx(0.3)
    assert row.values["boundary_iou"] is None
    assert row.values["mae"] == pytest.approx(0.2)
    assert row.values["iou_dataset"] == pytest.approx(40 / 100)
    assert row.values["seconds"] == 5.0
    assert row.values["base_seconds"] == 3.0
    assert row.values["peak_rss_mb"] == 300.0
    assert row.values["peak_gpu_mb"] is None
    assert row.values["energy_j"] == 6.0
    assert row.values["fit_seconds"] == 12.0
    assert row.gains["iou"].mean == pytest.approx(0.04)
    assert row.gains["iou"].lost == 0.5
    assert "boundary_iou" not in row.gains
    assert row.images == 2


def test_images_are_paired_by_id_not_by_place(store: Store) -> None:
    add(store, "identity", records([0.2, 0.8], id=["a", "b"]))
    add(store, "prn", records([0.9, 0.3], id=["b", "a"]))
    gain = rows(build(store))["unet", "prn"].gains["iou"]
    assert (gain.mean, gain.low, gain.high) == pytest.approx((0.1, 0.1, 0.1))


def test_images_that_only_one_side_has_are_told(store: Store) -> None:
    add(store, "identity", records([0.2, 0.8], id=["a", "b"]))
    add(store, "prn", records([0.4, 0.9, 0.5], id=["a", "c", "b"]))
    row = rows(build(store))["unet", "prn"]
    assert row.gains["iou"].mean == pytest.approx((0.2 - 0.3) / 2)
    assert "gains are over the 2 images that identity has too" in row.notes
    assert "images: 2, where others have 3" in rows(build(store))["unet", "identity"].notes


def test_seeds_are_averaged_and_drawn_beside_the_images(store: Store) -> None:
    add(store, "identity", [0.5, 0.5], seed=0)
    add(store, "identity", [0.5, 0.7], seed=1)
    # Over the seeds both images gain 0.1, though no single seed gains that anywhere: -0.1, 0.3 and 0.3, -0.1.
    add(store, "prn", [0.4, 0.8], seed=0)
    add(store, "prn", [0.8, 0.6], seed=1)
    report = build(store)
    row = rows(report)["unet", "prn"]
    assert row.seeds == (0, 1)
    assert row.values["iou"] == pytest.approx(0.65)
    gain = row.gains["iou"]
    # Of 16 draws of two images and two seeds a quarter has one image and one seed alone: half of those lose.
    assert (gain.mean, gain.low, gain.high) == pytest.approx((0.1, -0.1, 0.3))
    assert gain.images == 2
    assert (gain.wins, gain.losses) == (2, 0)
    assert any("2 seeds (0, 1)" in remark for remark in report.groups[0].remarks)


def test_only_seeds_that_both_sides_have_are_paired(store: Store) -> None:
    for seed, value in ((0, 0.5), (1, 0.9)):
        add(store, "identity", [value, value], seed=seed)
    add(store, "prn", [0.6, 0.6], seed=0)
    add(store, "prn", None, seed=1, status="failed", error="out of memory\ntrace")
    add(store, "crf", [0.8, 0.8], seed=2)
    found = rows(build(store))
    assert found["unet", "prn"].gains["iou"].mean == pytest.approx(0.1)
    assert "seed 1 failed: out of memory" in found["unet", "prn"].notes
    assert "seeds 0 only; missing: 2" in found["unet", "prn"].notes
    assert found["unet", "crf"].gains == {}
    assert any(note.startswith("no gains: no finished cell of identity") for note in found["unet", "crf"].notes)


def test_no_gain_over_a_baseline_of_other_maps(store: Store) -> None:
    add(store, "identity", [0.5, 0.6], identity={"base": "old weights", "test": "files", "metrics": 1})
    add(store, "prn", [0.7, 0.9])
    row = rows(build(store))["unet", "prn"]
    assert row.gains == {}
    assert any(note.startswith("no gains") for note in row.notes)


def test_undefined_images_are_left_out_and_counted(store: Store) -> None:
    add(store, "identity", records([0.5, 0.5, 0.5], boundary_iou=[0.1, 0.2, 0.3]))
    add(store, "prn", records([0.6, 0.6, 0.6], boundary_iou=[0.4, NAN, 0.4]))
    row = rows(build(store))["unet", "prn"]
    assert row.values["boundary_iou"] == pytest.approx(0.4)
    assert row.gains["boundary_iou"].mean == pytest.approx(0.2)
    assert row.gains["boundary_iou"].images == 2
    assert "mBA (d=15) is undefined for 1 of 3 images, which its mean leaves out" in row.notes


def test_a_note_of_every_row_is_said_once(store: Store) -> None:
    for refiner in ("identity", "prn"):
        add(store, refiner, records([0.5, 0.5], boundary_accuracy=[0.5, NAN]))
    (group,) = build(store).groups
    assert group.notes == ()
    assert sum("BndAcc is undefined for 1 of 2" in remark for remark in group.remarks) == 1


def test_an_empty_dataset_union_counts_as_one(store: Store) -> None:
    add(store, "identity", records([1.0, 1.0], intersection=0, union=0))
    assert rows(build(store))["unet", "identity"].values["iou_dataset"] == 1.0


def test_baseline_first_oracles_last_grid_order_between(store: Store) -> None:
    add(store, "best", [0.9], position=0, uses_ground_truth=True)
    add(store, "zebra", [0.5], position=1)
    add(store, "ant", [0.5], position=2)
    add(store, "identity", [0.5], position=3)
    (group,) = build(store).groups
    assert [row.refiner for row in group.blocks[0].rows] == ["identity", "zebra", "ant", "best"]


def test_failed_planned_and_absent_cells_are_rows(store: Store) -> None:
    for base in ("unet", "psp"):
        add(store, "identity", [0.5], base=base)
    add(store, "prn", None, status="failed", error="no weights here\nTraceback")
    add(store, "crf", None)
    found = rows(build(store))
    assert (found["unet", "prn"].status, found["unet", "prn"].problem) == ("failed", "failed: no weights here")
    assert (found["unet", "crf"].status, found["unet", "crf"].problem) == ("missing", "missing")
    assert found["psp", "prn"].problem == found["psp", "crf"].problem == "missing"
    assert len(found) == 6


def test_a_missing_baseline_is_told(store: Store) -> None:
    add(store, "identity", [0.5], base="psp")
    add(store, "prn", [0.6])
    found = rows(build(store))
    assert found["unet", "identity"].problem == "missing"
    assert any("identity" in note for note in found["unet", "prn"].notes)


def test_the_baselines_name_is_an_argument(store: Store) -> None:
    add(store, "raw", [0.5, 0.5])
    add(store, "prn", [0.6, 0.6])
    assert rows(build(store, baseline="raw"))["unet", "prn"].gains["iou"].mean == pytest.approx(0.1)


def test_limits_and_protocols_are_groups_of_their_own(store: Store) -> None:
    add(store, "identity", [0.5])
    add(store, "identity", [0.5], limit=20, drawn=True)
    add(store, "identity", [0.5], limit=20, drawn=True, protocol="B")
    add(store, "identity", [0.5], limit=20)  # of an earlier version
    titles = {group.title for group in build(store).groups}
    drawn = {f"roads (a random sample of 20), protocol {protocol}" for protocol in "AB"}
    assert titles == {"roads", "roads (first 20)", *drawn}


@pytest.mark.parametrize(
    ("processes", "memory", "said"),
    [
        (({"process": "forked"}, {"process": "forked"}), 100.0, False),
        (({"process": "forked"}, {"process": "started"}), 100.0, True),
        (({"process": "forked"}, {"process": "forked; started"}), 100.0, True),
        (({"process": "forked"}, {}), 100.0, True),  # of an earlier version
        (({}, {}), 100.0, False),
        (({"process": "forked"}, {"process": "started"}), NAN, False),
    ],
)
def test_memory_of_two_kinds_of_processes_is_not_to_be_compared(
    store: Store, processes: tuple[dict[str, str], dict[str, str]], memory: float, said: bool
) -> None:
    for refiner, environment in zip(("identity", "prn"), processes, strict=True):
        add(store, refiner, records([0.5], peak_rss_mb=memory), environment=environment)
    (group,) = build(store).groups
    assert any("RAM is of processes" in remark for remark in group.remarks) is said


def test_remarks_say_what_the_numbers_come_from(store: Store) -> None:
    environment = {"device_name": "H100", "versions": {"refinebench": "1.2"}, "commit": "0123456789abcdef+changes"}
    add(store, "identity", [0.5, 0.6], written="2026-01-01T09:00:00", complete="6 of 6226 pairs")
    add(store, "prn", [0.5, 0.6], written="2026-02-01T09:00:00")
    add(store, "prn", [0.7, 0.6], written="2026-03-01T09:00:00", environment=environment)
    (group,) = build(store).groups
    assert (*group.remarks, *group.origin) == (
        "2 test images",
        "fewer than 100 images: a 95 % interval (~) covers less, see docs/statistics.md",
        "partial copy: 6 of 6226 pairs",
        "refinebench-v1, protocol A (base on train, refiners on val)",
        "seed 0",
        "left out: 1 earlier cell of the same names, with other data or parameters",
        "device H100",
        "refinebench 1.2",
        "commit 0123456789ab+changes",
        "run 2026-01-01 to 2026-03-01",
    )


def test_energy_has_a_column_only_where_it_is_known(store: Store) -> None:
    add(store, "identity", [0.5])
    assert "energy_j" not in {column.key for column in build(store).cost}
    add(store, "prn", records([0.5], energy_j=3.0))
    assert "energy_j" in {column.key for column in build(store).cost}


def test_the_spread_over_seeds_is_shown_where_there_are_several(store: Store) -> None:
    add(store, "identity", [0.5, 0.7])
    assert "iou_spread" not in {column.key for column in build(store).quality}
    add(store, "identity", [0.7, 0.9], seed=1)
    add(store, "identity", [0.3, 0.5], seed=2)
    report = build(store)
    (row,) = report.groups[0].blocks[0].rows
    # The three means are 0.6, 0.8 and 0.4.
    assert report.quality[-1].text(row.values["iou_spread"]) == "20.00"


def test_the_best_stands_out_where_its_paired_differences_exclude_zero(store: Store) -> None:
    base = np.linspace(0.3, 0.7, 30)
    swing = 0.05 * np.where(np.arange(30) % 2, 1, -1)
    counts = {"union": 100}
    add(store, "identity", records(base, mae=0.2, intersection=50, **counts))
    add(store, "crf", records(base + 0.1 + swing, mae=0.3, intersection=50 + 20 * (swing > 0), **counts))
    add(store, "prn", records(base + 0.11 - swing, mae=0.25, intersection=61, **counts))  # from crf by 1 +- 10 points
    add(store, "ideal", records(base + 0.2, mae=0.0, intersection=90, **counts), uses_ground_truth=True)
    (block,) = build(store).groups[0].blocks
    assert block.best(MIOU) == ""
    assert block.best(MAE) == "identity"
    assert block.best(SET_IOU) == ""
    add(store, "filter", records(base + 0.13 - swing, mae=0.25, intersection=61, **counts))  # above prn in each image
    (block,) = build(store).groups[0].blocks
    assert block.best(MIOU) == ""  # and not above crf
    add(store, "crf", records(base + 0.09 - swing, mae=0.3, intersection=75, **counts), generation=1)
    (block,) = build(store).groups[0].blocks
    assert (block.best(MIOU), block.best(SET_IOU)) == ("filter", "crf")


def test_one_image_tells_nothing_apart(store: Store) -> None:
    add(store, "identity", [0.5])
    add(store, "crf", [0.9])
    assert build(store).groups[0].blocks[0].best(MIOU) == ""


def test_groups_are_resampled_whole(store: Store) -> None:
    names = {f"image{place}": f"video{place // 10}" for place in range(40)}
    moved = np.repeat([0.1, 0.1, 0.1, -0.1], 10)  # four videos: 3 of 4 gain
    add(store, "identity", [0.5] * 40)
    add(store, "crf", (0.5 + moved).tolist())
    found = rows(assemble(read(store, "identity"), "identity", names))["unet", "crf"].gains["iou"]
    assert (found.mean, found.images, found.groups) == (pytest.approx(0.05), 40, 4)
    # All four draws from the losing video come in 1 of 256 cases, none in 81: the ends are means of four of them.
    assert (found.low, found.high) == pytest.approx((-0.05, 0.1))
    alone = rows(build(store))["unet", "crf"].gains["iou"]
    assert alone.groups is None and alone.low is not None and alone.low > 0.015


def test_contaminated_rows_do_not_compete(store: Store) -> None:
    add(store, "identity", [0.5, 0.5])
    add(store, "crf", [0.6, 0.6])
    add(store, "psp", [0.8, 0.8], contaminated=["DUTS-TE"], contaminated_by=["refiner"])
    (block,) = build(store).groups[0].blocks
    assert block.best(MIOU) == "crf"


def test_a_contaminated_base_is_told_once_and_has_no_best(store: Store) -> None:
    for refiner, value in (("identity", 0.5), ("prn", 0.6)):
        add(store, refiner, [value, value], contaminated=["ECSSD"], contaminated_by=["base"])
    (group,) = build(store).groups
    assert group.blocks[0].best(MIOU) == ""
    assert all(row.contaminated == ("ECSSD",) for row in group.blocks[0].rows)
    said = "not clean: the public weights of the base were trained on ECSSD, which is tested on"
    assert group.notes == () and said in group.remarks


def test_headroom_by_hand(store: Store) -> None:
    add(store, "identity", [0.50, 0.70])
    add(store, "prn", [0.53, 0.71])
    add(store, "crf", [0.40, 0.70])
    add(store, "oracle-image", [0.55, 0.75], uses_ground_truth=True)
    add(store, "oracle-patch[patch=8]", [0.60, 0.90], uses_ground_truth=True)
    found = rows(build(store))
    # Mean gains: prn 0.02, crf -0.05, the oracles 0.05 and 0.15.
    shares = {name: row.values for (_, name), row in found.items()}
    assert shares["prn"]["headroom_oracle-image"] == pytest.approx(0.4)
    assert shares["prn"]["headroom_oracle-patch[patch=8]"] == pytest.approx(0.02 / 0.15)
    assert shares["crf"]["headroom_oracle-image"] == pytest.approx(-1)
    assert shares["oracle-patch[patch=8]"]["headroom_oracle-image"] == pytest.approx(3)
    assert shares["identity"]["headroom_oracle-image"] == 0


def test_headroom_is_measured_on_the_rows_own_images_and_seeds(store: Store) -> None:
    add(store, "identity", records([0.5, 0.5, 0.5], id=["a", "b", "c"]))
    add(store, "ideal", records([0.6, 0.7, 0.9], id=["a", "b", "c"]), uses_ground_truth=True)
    add(store, "prn", records([0.5, 0.6], id=["b", "a"]))
    # On a and b alone the oracle gains 0.15, and prn 0.05.
    assert rows(build(store))["unet", "prn"].values["headroom_ideal"] == pytest.approx(1 / 3)


def test_no_headroom_where_the_oracle_lacks_an_image_or_a_seed(store: Store) -> None:
    add(store, "identity", records([0.5, 0.5], id=["a", "b"]))
    add(store, "ideal", records([0.6], id=["a"]), uses_ground_truth=True)
    add(store, "prn", records([0.6, 0.6], id=["a", "b"]))
    assert rows(build(store))["unet", "prn"].values["headroom_ideal"] is None
    for seed in (0, 1):
        add(store, "identity", [0.5], seed=seed, base="psp")
        add(store, "prn", [0.6], seed=seed, base="psp")
    add(store, "ideal", [0.9], base="psp", uses_ground_truth=True)
    found = rows(build(store))
    assert found["psp", "prn"].values.get("headroom_ideal") is None
    assert found["psp", "ideal"].values["headroom_ideal"] == 1


def test_no_headroom_of_an_oracle_on_other_maps_or_that_gains_nothing(store: Store) -> None:
    add(store, "identity", [0.5, 0.6])
    add(store, "prn", [0.6, 0.7])
    add(store, "old", [0.9, 0.9], identity={"base": "old weights"}, uses_ground_truth=True)
    add(store, "flat", [0.5, 0.6008], uses_ground_truth=True)
    found = rows(build(store))["unet", "prn"].values
    assert found.get("headroom_old") is None and found["headroom_flat"] is None


def test_two_metrics_of_one_title_go_by_their_names(store: Store) -> None:
    column = {"title": "Dice", "meaning": "overlap", "better": "higher", "scale": 100, "digits": 1}
    clash = {**column, "title": "mIoU"}
    metrics = {"dice": column, "dice[smooth=1]": column, "again": clash, "own": {**column, "title": "Own"}}
    add(store, "identity", records([0.5], **dict.fromkeys(metrics, 0.5)), metrics=metrics)
    titles = [column.title for column in build(store).plugged_in]
    assert titles == ["dice", "dice[smooth=1]", "again", "Own"]


def test_a_metric_that_a_seed_lacks_is_not_shown(store: Store) -> None:
    column = {"title": "Dice", "meaning": "overlap", "better": "higher", "scale": 100, "digits": 1}
    add(store, "identity", records([0.5, 0.5], dice=[0.5, NAN]), metrics={"dice": column})
    add(store, "prn", records([0.5], dice=0.5), metrics={"dice": column})
    add(store, "prn", [0.5], seed=1)
    found = rows(build(store))
    assert found["unet", "identity"].values["dice"] == 0.5
    assert "Dice is undefined for 1 of 2 images, which its mean leaves out" in found["unet", "identity"].notes
    assert "dice" not in found["unet", "prn"].values


def test_tuned_rows_say_what_was_found(store: Store) -> None:
    tuned = {"parameters": {"iterations": 5, "sxy": 2.34567}, "objective": "iou", "trials": 40}
    tuned |= {"score": 0.8801, "default_score": 0.87}
    text = "tuned on val, 40 trials of iou: iterations=5, sxy=2.346; val 88.0 (defaults 87.0)"
    for seed in (0, 1):
        add(store, "identity", [0.5], seed=seed)
        add(store, "same", [0.5], seed=seed, tuned=tuned)
        add(store, "differs", [0.5], seed=seed, tuned={**tuned, "trials": 40 + seed})
    found = rows(build(store))
    assert found["unet", "same"].notes == (text,)
    assert found["unet", "differs"].notes == (f"seed 0 {text}", f"seed 1 {text.replace('40', '41')}")


def test_a_row_alone_is_not_best(store: Store) -> None:
    add(store, "identity", [0.5, 0.5])
    add(store, "ideal", [0.9, 0.9], uses_ground_truth=True)
    (block,) = build(store).groups[0].blocks
    assert block.best(MIOU) == ""


def test_the_gain_does_not_depend_on_the_other_rows(store: Store) -> None:
    rng = np.random.default_rng(0)
    add(store, "identity", rng.random(20).tolist())
    add(store, "prn", rng.random(20).tolist(), position=2)
    alone = rows(build(store))["unet", "prn"].gains
    add(store, "crf", rng.random(20).tolist(), position=1)
    assert rows(build(store))["unet", "prn"].gains == alone


def test_one_that_holds_another_is_measured_by_it(store: Store) -> None:
    """Alone +0.30, +0.10, -0.20, -0.05: +3.75 points, two lost; the gate passes the third on, and the second, too."""
    weights = {"base": "weights", "test": "files", "metrics": 1}
    alone = {"name": "fast", "parameters": {"size": 96}}
    add(store, "identity", [0.4, 0.5, 0.6, 0.7])
    add(store, "fast", [0.7, 0.6, 0.4, 0.65], identity={**weights, "refiner": alone})
    gated = {"name": "gated", "parameters": {"refiner": alone}}
    add(store, "gated[refiner=fast]", [0.7, 0.5, 0.6, 0.65], identity={**weights, "refiner": gated})
    other = {"name": "gated", "parameters": {"refiner": {"name": "fast", "parameters": {"size": 64}}}}
    add(store, "gated[refiner=other]", [0.7, 0.5, 0.6, 0.65], identity={**weights, "refiner": other})
    found = rows(build(store))
    assert found["unet", "gated[refiner=fast]"].notes == (
        "of the +3.8 points that fast alone gains it has +6.2 (167 %); images that lose more than a point: 25 %, "
        "alone 50 %; the right choice every time would gain +10.0",
    )
    assert found["unet", "gated[refiner=other]"].notes == found["unet", "fast"].notes == ()


@pytest.mark.parametrize(("summary", "expected"), [("max", 0.75), ("mean", 0.5)])
def test_a_curve_is_averaged_over_images_then_summed_up_then_averaged_over_seeds(
    store: Store, summary: str, expected: float
) -> None:
    said = {"title": "F", "meaning": "F", "better": "higher", "scale": 1, "digits": 3, "curve": 2, "summary": summary}
    first = [[0.2, 0.8], [0.4, NAN], [NAN, NAN]]  # alone: 0.3, 0.8
    second = [[0.6, 0.2], [0.8, 0.4], [0.5, 0.5]]  # where the first has values: 0.7, 0.2
    for seed, curves in enumerate((first, second)):
        add(store, "identity", records([0.5] * 3, f=curves), seed=seed, metrics={"f": said})
    report = build(store)
    row = rows(report)["unet", "identity"]
    assert row.values["f"] == pytest.approx(expected)
    assert "F is undefined for 1 of 3 images, which its mean leaves out" in row.notes
    assert "the curve of F has gaps for 1 of 3 images, which the means there leave out" in row.notes
    (column,) = report.plugged_in
    taken = {"max": "largest", "mean": "mean"}[summary]
    assert column.meaning.endswith(f"higher is better; the {taken} of a curve of 2 values, each a mean over images)")


def test_a_curve_without_a_summary_stays_in_the_records(store: Store) -> None:
    said = {"title": "bins", "meaning": "counts", "better": "higher", "scale": 1, "digits": 3, "curve": 2}
    add(store, "identity", records([0.5], bins=[[1.0, 2.0]]), metrics={"bins": {**said, "summary": "none"}})
    report = build(store)
    assert not report.plugged_in and "bins" not in rows(report)["unet", "identity"].values
    (cell,) = store.manifests()
    assert store.records(cell)["bins"][0].tolist() == [1, 2]


def test_the_best_of_a_curve_goes_by_resampled_images(store: Store) -> None:
    """A constant gap at the peak is told apart; a better peak of one image among many is not."""
    said = {"title": "F", "meaning": "F", "better": "higher", "scale": 1, "digits": 3, "curve": 2, "summary": "max"}
    base = [[0.1, 0.2 + i / 100] for i in range(40)]
    for name, step in {"identity": 0.0, "prn": 0.1}.items():
        curves = [[low, high + step] for low, high in base]
        add(store, name, records([0.5] * 40, f=curves), metrics={"f": said})
    lucky = [[low, high + (2 if i == 7 else 0)] for i, (low, high) in enumerate(base)]
    add(store, "identity", records([0.5] * 40, f=base), metrics={"f": said}, base="psp")
    add(store, "lucky", records([0.5] * 40, f=lucky), metrics={"f": said}, base="psp")
    blocks = {block.base: block for group in build(store).groups for block in group.blocks}
    (column,) = build(store).plugged_in
    assert blocks["unet"].best(column) == "prn"
    assert blocks["psp"].best(column) == ""
