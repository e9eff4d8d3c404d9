"""The sentence under a table: which refiner to take, judged by the intervals, or why there is none to take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.reports import FORMATS, build
from bench.store import Store
from tests.reports.stores import add, records

IMAGES = 100
BASE = np.linspace(0.5, 0.8, IMAGES)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    add(store, "identity", BASE.tolist())
    return store


def gaining(store: Store, name: str, points: float, spread: float = 0.0, **fields: object) -> None:
    """A refiner whose images gain so much: half of them ``spread`` more, half of them ``spread`` less."""
    seconds, fit = fields.pop("seconds", 0.5), fields.pop("fit_seconds", None)
    iou = BASE + (points + spread * np.where(np.arange(IMAGES) % 2, 1, -1)) / 100
    add(store, name, records(iou.tolist(), seconds=seconds), fit_seconds=fit, **fields)


def said(store: Store) -> str:
    """The sentence, in one line."""
    text = FORMATS["terminal"].render(build(store)).split("\n\n")
    (found,) = (part for part in text if part.startswith(("Take", "No ", "Nothing")))
    return " ".join(found.split()).partition(" Smallest gain")[0]


def test_the_highest_gain_whose_interval_excludes_zero_is_taken_with_its_cost(store: Store) -> None:
    gaining(store, "crf", 2.0, seconds=0.5, fit_seconds=12.0)
    gaining(store, "wild", 3.0, spread=60.0)  # 60 / sqrt(100) is a standard error of 6 points
    gaining(store, "small", 1.0)
    assert said(store) == "Take crf: +2.0 [+2.0, +2.0] points of mIoU for 0.500 s an image after 12 s of fitting."


def test_those_whose_paired_difference_holds_zero_are_not_told_apart(store: Store) -> None:
    # Two that swing the other way lie 6 points from crf on each image: a standard error of the difference of 0.6.
    gaining(store, "crf", 2.0, spread=3.0, seconds=0.4)
    gaining(store, "filter", 1.8, spread=-3.0, seconds=0.1)
    gaining(store, "slow", 1.7, spread=-3.0, seconds=4.0)
    gaining(store, "less", 1.9, spread=3.0, seconds=0.0001)  # its interval overlaps, and it is worse in each image
    text = said(store)
    assert text.startswith("Take crf: +2.0 [")
    assert text.endswith("not told apart from it: filter (4 times as fast) and slow.")


def test_where_no_interval_excludes_zero_none_is_shown_to_help(store: Store) -> None:
    gaining(store, "wild", 3.0, spread=60.0)
    gaining(store, "worse", -2.0)
    assert said(store).startswith("No refiner is shown to help: keep the base's own map; nearest comes wild: +3.0 [")


def test_an_end_that_reads_as_zero_does_not_exclude_it(store: Store) -> None:
    gaining(store, "hardly", 0.04)
    assert said(store).startswith("No refiner is shown to help") and "hardly: 0.0 [0.0, 0.0]" in said(store)


def test_oracles_and_contaminated_rows_are_never_the_answer(store: Store) -> None:
    gaining(store, "ideal", 9.0, uses_ground_truth=True)
    gaining(store, "seen", 5.0, contaminated=["DUTS-TE"], contaminated_by=["refiner"])
    assert said(store) == "No refiner can be recommended: public weights (‡) were trained on images that are tested on."
    gaining(store, "crf", 2.0)
    assert said(store).startswith("Take crf: ") and said(store).endswith("left out: seen (‡), trained on test images.")
    assert "ideal" not in said(store)


@pytest.mark.parametrize(("images", "few"), [(99, True), (100, False)])
def test_few_images_are_told(tmp_path: Path, images: int, few: bool) -> None:
    store = Store(tmp_path)
    add(store, "identity", [0.5] * images)
    add(store, "crf", [0.6] * images)
    assert said(store).startswith("Take crf: +10.0")
    assert said(store).endswith(f"of only {images} images an interval covers less than 95 %.") == few


def test_one_image_has_no_interval_and_no_answer(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add(store, "identity", [0.5])
    add(store, "crf", [0.6])
    assert said(store).startswith("No refiner is shown to help") and "one image has no interval" in said(store)


def test_where_there_is_nothing_to_say_it_says_why(store: Store, tmp_path: Path) -> None:
    assert said(store) == "Nothing to compare: identity alone is here."
    add(store, "crf", None, status="failed", error="boom")
    assert said(store) == "No refiner can be recommended: none has finished."
    alone = Store(tmp_path / "alone")
    add(alone, "crf", [0.6])
    assert "no finished cell of identity is there to measure a gain over" in said(alone)
