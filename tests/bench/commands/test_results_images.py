"""``bench.load(store).images(...)``: before and after, from pictures that were kept."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import pytest

import bench
from bench.commands.results import Results
from bench.contracts import UserError
from bench.images import webp
from bench.store import KeptImage, Store
from tests.reports.stores import add, records

WILD = "<img src=x onerror=alert(1)>\u202e&.jpg"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Of four images; `one` has two rules' pictures, `all` has all."""
    store = Store(tmp_path / "store")
    frame = records([0.5, 0.5, 0.5, 0.5]).assign(id=["a", "b", WILD, "d"])
    add(store, "identity", frame)
    add(store, "one", frame.assign(iou=[0.6, 0.4, 0.2, 0.55]))
    add(store, "all", frame.assign(iou=[0.6, 0.4, 0.9, 0.55]))
    add(store, "none", frame)
    keep(store, "one", {"a": ("best",), WILD: ("worst", "random")})
    keep(store, "all", {sample_id: ("all",) for sample_id in frame.id})
    return store


def keep(store: Store, refiner: str, why: dict[str, tuple[str, ...]]) -> None:
    (cell,) = [cell for cell in store.manifests() if cell.refiner == refiner]
    truth = np.array([[True, False, False]])
    pictures = {
        "image": webp.image_bytes(np.full((1, 3, 3), 90, np.uint8)),
        "truth": webp.truth_bytes(truth, np.array([[False, False, True]])),
        "base": webp.map_bytes(np.array([[0.5, 0.4, 0.0]], np.float32)),
        "refined": webp.map_bytes(np.array([[1.0, 0.499, 0.2]], np.float32)),
    }
    names = {kind: store.add_picture(content) for kind, content in pictures.items()}
    store.keep_images(cell, [KeptImage(sample_id, rules, **names) for sample_id, rules in why.items()])


@pytest.fixture
def results(store: Store) -> Results:
    return bench.load(store.address)


def test_the_most_extreme_come_first_with_their_arrays(results: Results) -> None:
    (worst,) = results.images(refiner="one")
    assert worst.id == WILD and worst.gain == pytest.approx(-0.3) and worst.iou == 0.2
    assert worst.image.shape == (1, 3, 3) and worst.image.dtype == np.uint8
    assert worst.base.dtype == worst.refined.dtype == np.float32
    assert (worst.base >= 0.5).tolist() == (worst.refined >= 0.5).tolist() == [[True, False, False]]
    assert worst.truth.tolist() == [[True, False, False]] and worst.void.tolist() == [[False, False, True]]
    assert [image.id for image in results.images("best", refiner="one")] == ["a"]
    assert [image.id for image in results.images("worst", refiner="all", n=2)] == ["b", "d"]
    assert [image.id for image in results.images("best", refiner="all", n=2)] == [WILD, "a"]
    # The median of -0.1, 0.05, 0.1, 0.4 is 0.075.
    assert {image.id for image in results.images("median", refiner="all", n=2)} == {"a", "d"}
    assert len(results.images("random", refiner="all", base="unet", dataset="roads", n=3)) == 3


def test_a_notebook_shows_them_and_no_name_is_html(results: Results) -> None:
    shown = results.images(refiner="one")._repr_html_()
    assert "onerror=alert(1)&gt;" in shown and shown.count("<img") == 4 and "\u202e" not in shown
    assert shown.count("data:image/webp;base64,") == 4 and "gain -30.00 points" in html.unescape(shown)
    assert re.search(r"(src|href)=\"(?!data:)", shown) is None
    assert "gain -30.00 points" in repr(results.images(refiner="one"))


def test_what_is_not_there_is_said_in_one_line(results: Results) -> None:
    with pytest.raises(UserError, match="bench run --keep-maps 20"):
        results.images(refiner="none")
    with pytest.raises(UserError, match="--keep-maps median:8"):
        results.images("median", refiner="one")
    with pytest.raises(UserError, match=r"no such refiner 'on'.*did you mean 'one'"):
        results.images(refiner="on")
    with pytest.raises(UserError, match="no such rule"):
        results.images("oddest", refiner="one")
    with pytest.raises(UserError, match="no such base"):
        results.images(refiner="one", base="fcn")


def test_a_damaged_picture_is_no_other_picture(results: Results, store: Store) -> None:
    for name in store.pictures():
        store.objects.replace(name, b"torn")
    with pytest.raises(UserError, match="damaged picture"):
        results.images(refiner="one")
