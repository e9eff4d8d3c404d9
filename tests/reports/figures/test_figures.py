"""Every figure from a small store: which there are, what is said of those that are not, what their files are."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from bench.cli import main
from bench.commands.results import load
from bench.contracts import UserError
from bench.images import webp
from bench.metrics.bias import Bias
from bench.reports.figures import Drawing, write
from bench.store import KeptImage, Manifest, PluggedMetric, Store, VariantName
from tests.reports.stores import add, records

IMAGES = 5
ODD = "maps[path=a/$x_{%,name=<img src=x onerror=alert(1)>]"
RIGHT_TO_LEFT = "\u05e9\u05dc\u05d5\u05dd"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def finish(store: Store, refiner: str, gain: float, **fields: object) -> Manifest:
    """A cell, scored by the bias metric, too."""
    generator = np.random.default_rng(0)
    masks = [generator.random((16, 16)) > 0.5 for _ in range(IMAGES)]
    vectors = [Bias(patch=8)(np.where(mask, 0.7, 0.4).astype(np.float32), mask) for mask in masks]
    costs = {"seconds": 0.01, "peak_rss_mb": 200.0, "bias": vectors}
    frame = records(np.linspace(0.3, 0.6, IMAGES) + gain * np.arange(IMAGES), **costs)
    metric = PluggedMetric.model_validate(Bias(), from_attributes=True)
    return add(store, refiner, frame, metrics={"bias": metric}, **fields)


def keep(store: Store, cell: Manifest, count: int = IMAGES, step: float = 0.1) -> list[KeptImage]:
    """Pictures of the cell's first images."""
    truth = np.zeros((20, 30), bool)
    truth[5:12, 8:20] = True
    base = np.where(truth, 0.4, 0.1).astype(np.float32)
    images = [
        KeptImage(
            id=f"image{place}",
            why=("all",),
            image=store.add_picture(webp.image_bytes(np.full((20, 30, 3), 40 * place, np.uint8))),
            truth=store.add_picture(webp.truth_bytes(truth)),
            base=store.add_picture(webp.map_bytes(base)),
            refined=store.add_picture(webp.map_bytes(np.clip(base + place * step, 0, 1))),
        )
        for place in range(count)
    ]
    found = store.find(cell)
    assert found is not None
    store.keep_images(found, images)
    return images


def fill(store: Store) -> list[Manifest]:
    """Two bases of hostile names with all that is drawn; the cells with pictures."""
    kept = []
    for base in (ODD, RIGHT_TO_LEFT):
        finish(store, "identity", 0.0, base=base)
        for grid in (2, 8):
            name = VariantName(name="prn", parameters={"grid": str(grid)})
            names = {"dataset": VariantName(name="roads"), "base": VariantName(name=base), "refiner": name}
            cell = finish(store, name.label(), 0.01 * grid, base=base, names=names)
            kept.append(cell)
            keep(store, cell, step=0.01 * len(kept))
    return kept


def stems(files: list[Path]) -> list[str]:
    return sorted({re.sub(r"(-[0-9a-f]{6})?$", "", file.stem) for file in files})


def test_all_figures_are_drawn_whatever_the_names(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(store)
    out = tmp_path / "out"
    assert main(["report", "--store", str(store.address), "--figures", "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    files = sorted(out.iterdir())
    assert sorted(printed.out.split()) == sorted(map(str, files))
    kinds = {"examples": 4, "biased": 4, "cost": 2, "images": 2, "reliability": 2, "bias": 2}
    for kind, count in (kinds | {"quality": 1, "patch-size": 1, "ranks": 1}).items():
        assert (
            len([file for file in files if re.match(rf"figure-{kind}[-.]", file.name) and file.suffix == ".pdf"])
            == count
        )
    captions = (out / "figures.md").read_text(encoding="utf-8")
    for file in files:
        assert re.fullmatch(r"figures\.md|[a-z0-9-]{1,200}\.(pdf|png)", file.name)
        assert file.suffix == ".md" or f"`{file.stem}`" in captions
        begins = {".pdf": b"%PDF", ".png": b"\x89PNG", ".md": b"# Fig"}[file.suffix]
        assert file.read_bytes().startswith(begins)
    assert RIGHT_TO_LEFT in captions and "\\<img" in captions and "$x_{%" in captions
    assert "best: image4" in captions and "median: image2" in captions and "worst: image0" in captions


def test_what_is_not_there_is_told_in_a_line_each(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(store, "identity", [0.5, 0.6])
    add(store, "crf", [0.6, 0.6])
    files = load(store.address).figures(tmp_path / "out")
    assert stems(files) == ["figure-cost-roads-unet", "figure-images-roads-unet", "figures"]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 5 and all(line.startswith("bench: no figure of ") for line in said)
    for needed in ("--keep-maps 12", "prn[grid=...]", "--metric bias", "on two bases", "three refiners"):
        assert sum(needed in line for line in said) == 1


def test_nothing_to_draw_is_an_error_and_writes_nothing(store: Store, tmp_path: Path) -> None:
    add(store, "identity", [0.5, 0.6])
    with pytest.raises(UserError, match="nothing to draw"):
        load(store.address).figures(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_picture_costs_its_own_figures(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    *_, cell = fill(store)
    image = store.kept(cell.key)[-1]
    Path(store.address, image.refined).write_bytes(b"no picture")
    out = tmp_path / "out"
    with pytest.raises(UserError, match="a damaged picture"):
        load(store.address).figures(out)
    assert len(list(out.glob("figure-examples-*.pdf"))) == 3
    assert (out / "figures.md").read_text(encoding="utf-8").count("figure-examples-") == 3
    assert capsys.readouterr().err.count("a damaged picture") == 2  # of both figures that show it


def test_too_few_pictures_make_no_example(store: Store, tmp_path: Path) -> None:
    finish(store, "identity", 0.0)
    keep(store, finish(store, "crf", 0.01), 2)
    assert not [file for file in load(store.address).figures(tmp_path) if "-examples-" in file.name]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--figures"], "--out DIR"),
        (["--figures", "--out", "x", "--latex"], "is of tables alone"),
        (["--figures", "--out", "x", "--legend"], "of the printed tables alone"),
    ],
)
def test_options_that_do_not_go_together(
    options: list[str], said: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    add(store, "identity", [0.5])
    assert main(["report", "--store", str(store.address), *options]) == 2
    assert said in capsys.readouterr().err


def test_files_of_different_names_differ() -> None:
    one = Drawing("cost", ("d", "net"), "", lambda: pytest.fail("not drawn"))
    others = [
        dataclasses.replace(one, names=names) for names in (("d", "NET"), ("d", "n/et"), ("d-net",), ("d", "x" * 999))
    ]
    found = {drawing.stem for drawing in (one, *others)}
    assert len(found) == 5 and max(map(len, found)) < 200


def test_captions_are_written_last(tmp_path: Path) -> None:
    assert [path.name for path in write([], tmp_path)] == ["figures.md"]
