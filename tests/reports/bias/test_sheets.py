"""The bias report from stores made by hand: figures worked out by hand, what is passed over, what is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.commands.results import Results, load
from bench.contracts import UserError
from bench.metrics.bias import Bias, Parts
from bench.reports import assemble, read
from bench.reports.bias import sheets
from bench.reports.formats.sheets import as_csv, as_markdown
from bench.reports.sheets import Sheet
from bench.store import Manifest, PluggedMetric, Store
from tests.reports.stores import add, records

METRIC = PluggedMetric.model_validate(Bias(), from_attributes=True)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def vector(**given: Any) -> np.ndarray:
    """One image's; of parts that are not given, those of one patch of 10 pixels that is right and of one class."""
    right = {
        "error": np.zeros((8, 8)),
        "patches": [0, 1, 0],
        "absolute": [0.0],
        "bias": at(10),
        "thresholds": np.zeros(21),
        "gain": [0.0],
        "pixels": at(0, 10, size=15),
        "probability": np.zeros(15),
        "truth": np.zeros(15),
    }
    return np.concatenate([np.ravel(part) for part in Parts(**{**right, **given})]).astype(np.float64)


def at(*place_and_count: float, size: int = 21) -> np.ndarray:
    """Zeros but for the numbers at some places: place, number, place, number; the last may be left out, and is 1."""
    found = np.zeros(size)
    pairs = [*place_and_count, 1] if len(place_and_count) % 2 else [*place_and_count]
    for place, count in zip(pairs[::2], pairs[1::2], strict=True):
        found[int(place)] = count
    return found


def put(store: Store, refiner: str, vectors: list[np.ndarray], label: str = "bias", **fields: Any) -> Manifest:
    frame = records([0.5] * len(vectors), **{label: vectors})
    return add(store, refiner, frame, metrics={label: METRIC}, **fields)


def tables(store: Store) -> dict[str, Sheet]:
    return {sheet.key: sheet for sheet in load(store.address).bias()}


def rows(sheet: Sheet) -> list[dict[str, Any]]:
    return [dict(zip([field.key for field in sheet.fields], row, strict=True)) for row in sheet.rows]


def test_errors_by_hand(store: Store) -> None:
    # 4 patches, 20 pixels: too low, right, right, too high.
    both = vector(
        patches=[2, 1, 1],
        absolute=[0.3],
        bias=at(8, 1, 10, 2, 11, 1),
        pixels=at(0, 10, 14, 10, size=15),
        probability=at(14, 10, size=15),
        truth=at(0, 2, 14, 6, size=15),
    )
    put(store, "identity", [both, vector()])
    put(store, "prn", [vector(), vector()])
    base, refined = rows(tables(store)["errors"])
    assert (base["dataset"], base["base"], base["refiner"], refined["refiner"]) == ("roads", "unet", "identity", "prn")
    assert base["images"] == 2
    assert base["error"] == pytest.approx((10 - 8) / 20 / 2)
    assert (base["error_low"], base["error_high"]) == pytest.approx((0.0, 0.1))
    assert base["absolute"] == pytest.approx(0.3 / 4 / 2)
    assert (base["down"], base["up"], base["neither"]) == pytest.approx((0.25 / 2, 0.25 / 2, (0.5 + 1) / 2))
    assert base["both"] == 0.5
    # 20 of 30 pixels at 0, of which 2 are foreground; 10 at 1, of which 6 are.
    assert base["ece"] == pytest.approx((2 + 4) / 30)
    assert [refined[key] for key in ("error", "absolute", "down", "up", "both", "ece")] == [0.0] * 6


def test_thresholds_by_hand(store: Store) -> None:
    # Of 10 patches the best thresholds are: six in [0.2, 0.25), two at one half, one each in (0.55, 0.6], (0.9, 0.95].
    ten = vector(patches=[10, 0, 0], thresholds=at(4, 6, 10, 2, 12, 1, 19, 1), gain=[0.8], bias=at(10, 10))
    put(store, "identity", [ten, vector()])
    found = tables(store)
    (row,) = rows(found["thresholds"])
    assert (row["images"], row["mixed"]) == (2, 10)
    # The image without a patch of both classes has no share; the other one stands alone, without an interval.
    assert (row["near"], row["below"], row["above"], row["gain"]) == pytest.approx((0.3, 0.6, 0.1, 0.08))
    assert (row["near_low"], row["near_high"]) == (None, None)
    # Of ten, 2.5 and 5 are reached among the first six, which are taken to lie evenly, and 7.5 at one half.
    assert row["threshold_q1"] == pytest.approx(0.2 + 0.05 * 2.5 / 6)
    assert row["threshold_median"] == pytest.approx(0.2 + 0.05 * 5 / 6)
    assert row["threshold_q3"] == pytest.approx(0.5)
    bins = rows(found["threshold_bins"])
    assert [(line["from"], line["to"], line["identity"]) for line in bins if line["identity"]] == [
        (0.2, 0.25, 0.6),
        (0.5, 0.5, 0.2),
        (0.55, 0.6, 0.1),
        (0.9, 0.95, 0.1),
    ]


def test_positions_and_what_they_would_be_by_chance(store: Store) -> None:
    left = np.zeros((8, 8))
    left[:, :4] = 0.2
    put(store, "identity", [vector(error=left)] * 4)
    put(
        store,
        "prn",
        [vector(error=left), vector(error=left.T), vector(error=left[:, ::-1]), vector(error=left.T[::-1])],
    )
    found = tables(store)
    base, refined = rows(found["errors"])
    assert base["positions"] == pytest.approx(float(np.std([0.2, 0.0] * 32, ddof=1)))
    assert base["chance"] == pytest.approx(0.0)  # all images alike
    # Each position is too high in two of the four: the means are all 0.1.
    assert refined["positions"] == pytest.approx(0.0)
    assert refined["chance"] == pytest.approx(float(np.sqrt(64 / 63 * np.var([0.1, 0.1, -0.1, -0.1], ddof=1) / 4)))
    grid = rows(found["positions"])
    assert [row["row"] for row in grid] == list(range(1, 9))  # of the base alone
    assert [grid[0][f"column_{place}"] for place in range(1, 9)] == pytest.approx([0.2] * 4 + [0.0] * 4)


def test_chance_is_what_images_without_a_bias_of_place_have_on_average(store: Store) -> None:
    rng = np.random.default_rng(0)
    put(store, "identity", [vector(error=rng.normal(rng.normal(), 0.3, (8, 8))) for _ in range(200)])
    (row,) = rows(tables(store)["errors"])
    assert row["chance"] == pytest.approx(0.3 / 200**0.5, rel=0.05)
    assert row["positions"] == pytest.approx(row["chance"], rel=0.3)


def test_histogram_of_patches_and_calibration(store: Store) -> None:
    pixels = {
        "pixels": at(0, 3, 14, 1, size=15),
        "probability": at(0, 0.06, 14, 0.96, size=15),
        "truth": at(14, 1, size=15),
    }
    put(store, "identity", [vector(patches=[0, 3, 1], bias=at(0, 1, 10, 3), **pixels)])
    put(store, "prn", [vector(bias=at(20))], base="pspnet")
    found = tables(store)
    shown = {(line["base"], line["bias"]): (line["identity"], line["prn"]) for line in rows(found["patches"])}
    assert shown["unet", -1.0] == (0.25, None) and shown["unet", 0.0] == (0.75, None)
    assert shown["pspnet", 1.0] == (None, 1.0)
    levels = [line for line in rows(found["calibration"]) if line["base"] == "unet"]
    assert len(levels) == 15
    assert (levels[0]["share"], levels[0]["confidence"], levels[0]["accuracy"]) == pytest.approx((0.75, 0.02, 0.0))
    assert (levels[14]["share"], levels[14]["confidence"], levels[14]["accuracy"]) == pytest.approx((0.25, 0.96, 1.0))
    assert (levels[7]["share"], levels[7]["confidence"], levels[7]["accuracy"]) == (0.0, None, None)


def test_seeds_are_averaged_and_images_paired_by_id(store: Store) -> None:
    low = vector(bias=at(0), absolute=[1.0])
    put(store, "identity", [vector(), low], seed=0)
    frame = records([0.5] * 3, id=["image1", "image0", "other"], bias=[low, low, low])
    add(store, "identity", frame, metrics={"bias": METRIC}, seed=1)
    (row,) = rows(tables(store)["errors"])
    assert row["images"] == 2  # those that both seeds have
    assert row["down"] == pytest.approx((0.5 + 1) / 2)


def test_groups_are_resampled_whole(store: Store) -> None:
    put(store, "identity", [vector(), vector(bias=at(0)), vector(bias=at(0))])
    found = read(store, "")
    groups = {"image0": "video", "image1": "video", "image2": "video"}
    alone, grouped = (rows(sheets(found, assemble(found, "identity", by))[0])[0] for by in (None, groups))
    assert alone["down"] == grouped["down"] == pytest.approx(2 / 3)
    assert alone["down_high"] == 1.0
    assert grouped["down_high"] is None  # of a single group there is nothing to draw


def test_the_change_is_paired_with_the_bases_own_maps(store: Store) -> None:
    levels = {"image0": 0.1, "image1": 0.5, "image2": 0.9}
    for seed in (0, 1):
        put(store, "identity", [vector(absolute=[level]) for level in levels.values()], seed=seed)
    # In another order, with an image that the base lacks: less by 0.04 in one seed and by 0.08 in the other.
    for seed, less in enumerate([0.04, 0.08]):
        ids = ["image2", "image1", "other"]
        vectors = [vector(absolute=[levels.get(image, 1.0) - less]) for image in ids]
        add(store, "prn", records([0.5] * 3, id=ids, bias=vectors), metrics={"bias": METRIC}, seed=seed)
    # The maps of another training of the base: nothing to compare with.
    put(store, "threshold", [vector()], identity={"base": "others", "test": "files", "metrics": 1})
    base, refined, alone = rows(tables(store)["errors"])
    assert refined["change"] == pytest.approx(-0.06)
    assert (refined["change_low"], refined["change_high"]) == pytest.approx((-0.08, -0.04))  # the seeds are drawn, too
    assert (base["change"], alone["change"]) == (None, None)


def test_seeds_that_share_no_image_have_no_row(store: Store) -> None:
    put(store, "identity", [vector()])
    for seed in (0, 1):
        add(store, "prn", records([0.5], id=[f"only{seed}"], bias=[vector()]), metrics={"bias": METRIC}, seed=seed)
    assert [row["refiner"] for row in rows(tables(store)["errors"])] == ["identity"]


def test_a_newer_cell_without_the_metric_hides_nothing(store: Store) -> None:
    put(store, "identity", [vector()], written="2026-01-01T00:00:00")
    add(store, "identity", [0.9], written="2026-02-01T00:00:00")
    assert len(rows(tables(store)["errors"])) == 1


def test_oracles_are_marked_and_stand_last(store: Store) -> None:
    put(store, "oracle-patch", [vector()], uses_ground_truth=True)
    put(store, "identity", [vector()])
    put(store, "prn", [vector()])
    assert [row["refiner"] for row in rows(tables(store)["errors"])] == ["identity", "prn", "oracle-patch †"]


def test_each_dataset_and_each_side_of_patches_has_tables_of_its_own(store: Store) -> None:
    put(store, "identity", [vector()])
    put(store, "identity", [vector()], label="bias[patch=32]", dataset="kvasir")
    found = tables(store)
    assert len(found) == 12 and {key[-2:] for key in found} == {"_1", "_2"}
    titles = {found[key].title.partition(":")[0] for key in ("errors_1", "errors_2")}
    assert titles == {"roads", "kvasir, bias[patch=32]"}


def test_the_legend_says_how_to_read_it(store: Store) -> None:
    put(store, "identity", [vector(), vector()])
    shown = as_markdown(load(store.address).bias())
    assert "## roads: signed errors of maps and patches" in shown
    assert "above 0 the map is too high on the whole" in shown
    assert "2 test images; fewer than" in shown
    assert as_csv(load(store.address).bias()).startswith("dataset,base,refiner,images,error,")


@pytest.mark.parametrize("unfinished", [False, True])
def test_where_nothing_has_it_the_error_says_what_computes_it(store: Store, unfinished: bool) -> None:
    add(store, "identity", [0.5])
    if unfinished:
        add(store, "prn", None, metrics={"bias": METRIC})
    with pytest.raises(UserError, match=r"bench run \.\.\. --metric bias"):
        load(store.address).bias()


def test_another_plug_in_of_that_name_is_no_bias(store: Store) -> None:
    number = METRIC.model_copy(update={"curve": 0})
    add(store, "identity", records([0.5], bias=0.3), metrics={"bias": number})
    with pytest.raises(UserError, match="no finished cell"):
        Results(store=store).bias()
