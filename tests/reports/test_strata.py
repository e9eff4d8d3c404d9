"""Gains by kind of image, and the table of images that says of which kind each is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.contracts import UserError
from bench.reports import assemble, build, read
from bench.reports.figures import Form, gain_over_quality
from bench.reports.image_table import groups_of, read_images
from bench.reports.sheets import Sheet
from bench.reports.strata import cut, sheets
from bench.store import Store
from tests.reports.stores import add

IMAGES = 120


def lines(found: Sheet) -> list[dict[str, Any]]:
    return [dict(zip([field.key for field in found.fields], row, strict=True)) for row in found.rows]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A refiner that gains 10 points on the first half of the images and loses 2 on the second."""
    store = Store(tmp_path / "store")
    base = np.linspace(0.2, 0.8, IMAGES)
    add(store, "identity", base)
    add(store, "crf", base + np.where(np.arange(IMAGES) < IMAGES / 2, 0.1, -0.02))
    return store


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "images.csv"
    path.write_text(text)
    return path


def test_gains_by_the_columns_of_the_table(store: Store, tmp_path: Path) -> None:
    rows = [f"image{place},{'day' if place < 60 else 'night'},{place}" for place in range(IMAGES)]
    images = read_images(table(tmp_path, "\n".join(["id,light,number", *rows])))
    strata, curve = sheets(build(store), images)
    found = {(row["by"], row["stratum"]): row for row in lines(strata)}
    day, night = found["light", "day"], found["light", "night"]
    assert (day["n"], day["gain"], day["says"], day["lost"]) == (60, pytest.approx(0.1), "gains", 0.0)
    assert (night["n"], night["gain"], night["says"], night["lost"]) == (60, pytest.approx(-0.02), "loses", 1.0)
    numbers = [row for (by, _), row in found.items() if by == "number"]
    assert [row["stratum"] for row in numbers] == ["0 to 39", "40 to 79", "80 to 119"]
    assert numbers[1]["gain"] == pytest.approx((20 * 0.1 - 20 * 0.02) / 40)
    assert [row["n"] for (by, _), row in found.items() if by == "base IoU"] == [40, 40, 40]
    (point,) = lines(curve)
    assert (point["refiner"], point["base_iou"], point["gain"]) == ("crf", pytest.approx(0.5), pytest.approx(0.04))


@pytest.mark.parametrize(("form", "begins"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_the_gains_over_the_quality_are_drawn(tmp_path: Path, form: Form, begins: bytes) -> None:
    """Whatever the names: five panels take two lines, and a name between dollars is no formula."""
    store = Store(tmp_path / "store")
    add(store, "identity", [0.5, 0.6])
    assert gain_over_quality(sheets(build(store))[1])[form].startswith(begins)  # of nothing, an empty one
    for name in ("threshold", "crf[$x_{$]", "c", "d", "e"):
        add(store, name, [0.5, 0.7])
    _, curve = sheets(build(store))
    assert len(curve.rows) == 5 and gain_over_quality(curve)[form].startswith(begins)


def test_few_images_do_not_tell(store: Store, tmp_path: Path) -> None:
    rows = [f"image{place},{'rare' if place < 5 else 'usual'}" for place in range(IMAGES)]
    images = read_images(table(tmp_path, "\n".join(["id,kind", *rows])))
    found = {row["stratum"]: row["says"] for row in lines(sheets(build(store), images)[0]) if row["by"] == "kind"}
    assert found == {"rare": "too few images to tell", "usual": "gains"}


def test_a_column_group_is_resampled_whole_and_makes_no_stratum(store: Store, tmp_path: Path) -> None:
    rows = [f"image{place},{place // 60},{place % 2}" for place in range(IMAGES)]
    images = read_images(table(tmp_path, "\n".join(["id,group,odd", *rows])))
    report = assemble(read(store, "identity"), "identity", groups_of(images))
    gain = report.groups[0].blocks[0].rows[1].gains["iou"]
    assert (gain.groups, gain.low, gain.high) == (2, pytest.approx(-0.02), pytest.approx(0.1))
    assert {row["by"] for row in lines(sheets(report, images)[0])} == {"base IoU", "odd"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,size\na,1\n", "no column 'id'"),
        ("id,size\na,1\na,2\n", "'a' is there twice"),
        ("id\na\n", "nothing but ids"),
        ("", "no table of images"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_images(table(tmp_path, text))


def test_a_table_of_other_images_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no image of these results"):
        sheets(build(store), read_images(table(tmp_path, "id,size\nx,1\ny,2\n")))


def test_numbers_that_many_share_make_one_stratum_each() -> None:
    column = pd.Series([1.0] * 60 + [2.0] * 30 + [3.0] * 5 + [7.0] * 5, index=[f"i{place}" for place in range(100)])
    assert [(part.name, len(part.images)) for part in cut(column, "components")] == [
        ("1", 60),
        ("2", 30),
        ("3 to 7", 10),
    ]
    assert cut(pd.Series([1.0, 1.0, np.nan]), "same") == []
    assert cut(pd.Series([f"text {place}" for place in range(50)]), "texts") == []
