"""``bench report --html`` of cells without pictures: made where that takes no training, else said why not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import bench
from bench.cli import main
from bench.commands import picturing
from bench.store import Store
from tests.bench.conftest import Toy

pytestmark = pytest.mark.usefixtures("plugins")


@pytest.fixture
def store(toy: Toy, tmp_path: Path) -> Path:
    where = tmp_path / "store"
    bench.run(dataset=[toy.dataset], base=[toy.base], refiner=["half", "threshold"], store=where, engine="inline")
    return where


def kept(store: Path) -> dict[str, int]:
    opened = Store(store)
    return {cell.refiner: len(opened.kept(cell.key)) for cell in opened.manifests()}


def page(store: Path, *more: str) -> int:
    return main(["report", "--store", str(store), "--html", "--out", str(store.parent / "page"), *more])


def test_pictures_are_made_and_no_number_changes(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = bench.load(store).records()
    assert page(store) == 0
    assert "3 cells have no pictures; they are made" in capsys.readouterr().err
    # The fitted threshold is of the store: no pictures is for want of a training.
    assert kept(store)["half"] > 1 and kept(store)["threshold"] > 1 and kept(store)["identity"] == 2
    assert any((tmp_path / "page" / "pictures").glob("*.webp"))
    assert bench.load(store).records().equals(before)
    assert page(store) == 0
    assert "pictures" not in capsys.readouterr().err


def test_cells_with_pictures_are_left_as_they_are(toy: Toy, store: Path) -> None:
    bench.run(
        dataset=[toy.dataset], base=[toy.base], refiner=["half"], store=store, engine="inline", keep_maps="random:1"
    )
    page(store, "--keep-maps", "all")
    assert kept(store)["half"] == kept(store)["identity"] == 1 < kept(store)["threshold"]


def test_none_are_made_where_none_are_wanted(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert page(store, "--keep-maps", "0") == 0
    assert set(kept(store).values()) == {0} and capsys.readouterr().err == ""


def test_none_are_made_without_the_maps(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(store / "bases")
    assert page(store) == 0
    said = capsys.readouterr().err
    assert set(kept(store).values()) == {0} and "and 2 more: the base's maps" in said and said.count("\n") == 1


def test_none_are_made_of_other_data(toy: Toy, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(toy.images)
    assert page(store) == 0
    said = capsys.readouterr().err
    assert set(kept(store).values()) == {0} and str(toy.images) in said and said.count("\n") == 1


def test_time_is_over(store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picturing, "MOST", 0.0)
    assert page(store) == 0
    assert set(kept(store).values()) == {0}
    assert "and 2 more: 0 s were over" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [(["--keep-maps", "many"], "a number, all, or RULE:N"), (["--keep-maps", "5", "--single-file"], "--html")],
)
def test_wrong_options(store: Path, given: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert page(store, *given) == 2
    assert said in capsys.readouterr().err and not (store.parent / "page").exists()
