"""``bench run --keep-maps``: pictures of the maps that were scored, chosen by the rule; no number changes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bench
from bench.cli import main
from bench.commands.run import RunResult
from bench.commands.store import check_store, collect_garbage
from bench.contracts import UserError
from bench.execution.choosing import chosen
from bench.execution.refining import Refined, Refining
from bench.images import read_image, webp
from bench.metrics import score
from bench.store import KeptImage, Manifest, Store
from tests.bench.conftest import Toy

IMAGES = 8
"""That are tested on, of the toy's ten."""

pytestmark = pytest.mark.usefixtures("plugins")


def dataset(toy: Toy) -> str:
    return toy.dataset.replace("]", ",val=0.2,test=0.8]")


def run(toy: Toy, store: Path | str, keep: str | None = None, **more: object) -> RunResult:
    options = {"refiner": ["half", "threshold"], "engine": "inline", **more}
    return bench.run(dataset=[dataset(toy)], base=[toy.base], store=store, device="cpu", keep_maps=keep, **options)  # type: ignore[arg-type]


def cells(store: Path | str) -> dict[str, Manifest]:
    return {cell.refiner: cell for cell in Store(store).manifests()}


def kept(store: Path | str, refiner: str) -> dict[str, KeptImage]:
    return {image.id: image for image in Store(store).kept(cells(store)[refiner].key)}


def check_pictures(toy: Toy, store: Path | str, refiner: str) -> None:
    """Against the files of the dataset and the records."""
    opened = Store(store)
    records = opened.records(cells(store)[refiner]).set_index("id")
    base = opened.records(cells(store)["identity"]).set_index("id")
    for image in kept(store, refiner).values():
        truth = webp.read_codes(opened.picture(image.truth))
        assert np.array_equal(truth == 255, read_image(toy.masks / f"{image.id}.png")[..., 0] > 0)
        # Not the same, but near: with a loss.
        shown = webp.read_rgb(opened.picture(image.image)).astype(int)
        assert np.abs(shown - read_image(toy.images / f"{image.id}.png")).mean() < 12
        for name, frame in ((image.refined, records), (image.base, base)):
            again = score(webp.read_codes(opened.picture(name)) >= 128, truth == 255)
            assert again["iou"] == frame.iou[image.id]


def test_processes_side_by_side_make_the_same_pictures(toy: Toy, tmp_path: Path) -> None:
    for name, options in (("one", {}), ("many", {"engine": "local", "workers": 2})):
        run(toy, tmp_path / name, refiner=["half"])
        run(toy, tmp_path / name, "worst:3", refiner=["half"], **options)
    assert kept(tmp_path / "one", "half") == kept(tmp_path / "many", "half") != {}


def test_the_pictures_are_of_the_maps_that_were_scored(toy: Toy, tmp_path: Path) -> None:
    store = tmp_path / "store"
    run(toy, store, "8")
    gains = {}
    for refiner in ("half", "threshold"):
        frames = [Store(store).records(cells(store)[name]).set_index("id").iou for name in (refiner, "identity")]
        gains[refiner] = frames[0] - frames[1]
        images = kept(store, refiner)
        check_pictures(toy, store, refiner)
        worst = [image for image in images if "worst" in images[image].why]
        assert len(frames[0]) == IMAGES
        assert sorted(gains[refiner][worst]) == sorted(gains[refiner])[:2]
        best = [image for image in images if "best" in images[image].why]
        assert sorted(gains[refiner][best]) == sorted(gains[refiner])[-2:]
        assert list(images) == [image for image in gains[refiner].index if image in images]
    assert {image.why for image in kept(store, "identity").values()} == {("random",)}
    drawn = {
        refiner: {one for one, image in kept(store, refiner).items() if "random" in image.why}
        for refiner in ("identity", "half", "threshold")
    }
    assert len(drawn["half"]) == 2 and drawn["half"] == drawn["threshold"] == drawn["identity"]
    shared = kept(store, "half").keys() & kept(store, "threshold").keys()
    for one in shared:
        a, b = kept(store, "half")[one], kept(store, "threshold")[one]
        assert (a.image, a.truth, a.base) == (b.image, b.truth, b.base) and a.refined != b.refined
    assert check_store(store) == [] and collect_garbage(store) == []


def test_no_number_and_no_key_changes_and_finished_cells_stay(
    toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    run(toy, store)
    assert not (store / "kept").exists()
    before = {file.name: file.read_bytes() for file in (store / "cells").glob("*/*")}
    capsys.readouterr()
    result = run(toy, store, "all")
    said = capsys.readouterr().err
    assert len(result.reused) == 3 and "pictures are missing of 3 cells" in said and "scored" not in said
    assert {file.name: file.read_bytes() for file in (store / "cells").glob("*/*")} == before
    assert {image.why for image in kept(store, "half").values()} == {("all",)} and len(kept(store, "half")) == IMAGES
    check_pictures(toy, store, "threshold")
    capsys.readouterr()
    run(toy, store, "all")
    assert "pictures" not in capsys.readouterr().err
    run(toy, store, "worst:3")
    assert len(kept(store, "half")) == IMAGES


def test_only_what_is_missing_is_made_again(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store"
    run(toy, store, "4")
    few = kept(store, "half")
    lost = next(iter(few.values()))
    (store / lost.refined).unlink()
    made: list[str] = []
    refine = Refining.__call__

    def counted(self: Refining, sample_id: str) -> Refined:
        made.append(f"{self.label} {sample_id}")
        return refine(self, sample_id)

    monkeypatch.setattr(Refining, "__call__", counted)
    run(toy, store, "4")
    assert made == [f"half {lost.id}"] and kept(store, "half") == few
    made.clear()
    run(toy, store, "worst:3")
    assert (
        few.items()
        <= {
            one: dataclasses.replace(image, why=few[one].why) if one in few else image
            for one, image in kept(store, "half").items()
        }.items()
    )
    assert not {f"half {one}" for one in few} & set(made)
    assert sum("worst" in image.why for image in kept(store, "half").values()) == 3
    assert kept(store, "identity").keys() == {one for one, image in few.items() if "random" in image.why}


def test_cells_that_are_computed_anew_get_pictures_anew(toy: Toy, tmp_path: Path) -> None:
    store = tmp_path / "store"
    run(toy, store, "worst:2")
    assert len(kept(store, "half")) == 2
    run(toy, store, force=True)
    assert kept(store, "half") == {}
    run(toy, store, "worst:1")
    assert len(kept(store, "half")) == 1


UNSTEADY = """
import numpy as np
from toy_plugins import Half


class Unsteady(Half):
    calls = 0

    def refine(self, images, maps):
        Unsteady.calls += 1
        return [np.full_like(probs, Unsteady.calls > 1 + 8) for probs in maps]
"""


def test_a_map_that_is_not_the_one_that_was_scored_is_said(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.bench.conftest import install

    install(tmp_path / "more", "unsteady", UNSTEADY, "[bench.refiners]\nunsteady = unsteady:Unsteady\n", monkeypatch)
    before = run(toy, tmp_path / "store", refiner=["unsteady"]).records()
    capsys.readouterr()
    after = run(toy, tmp_path / "store", "worst:3", refiner=["unsteady"]).records()
    said = capsys.readouterr().err
    assert "3 of 3 pictures show other maps than were scored" in said and "now, recorded is 0.0000" in said
    pd.testing.assert_frame_equal(before, after)


def test_a_failed_cell_has_no_pictures_and_others_have(
    toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(toy, tmp_path / "store", "4", refiner=["half[wrong=raises]", "half"], on_error="skip")
    assert len(result.failures) == 1
    assert "no pictures" not in capsys.readouterr().err
    assert kept(tmp_path / "store", "half")


@pytest.mark.parametrize("wrong", ["", "x", "worst", "worst:", "oddest:3", "-1", "1.5", "all:3", "True"])
def test_a_wrong_rule_is_one_line(toy: Toy, tmp_path: Path, wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["run", "--dataset", toy.dataset, "--base", toy.base, "--store", str(tmp_path / "store")]
    assert main([*call, "--keep-maps", wrong]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--keep-maps" in line and "RULE:N" in line and not (tmp_path / "store").exists()


def test_it_may_stand_in_bench_toml(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bench.toml").write_text("[defaults]\nkeep_maps = 4\n")
    monkeypatch.chdir(tmp_path)
    run(toy, tmp_path / "store", refiner=["half"])
    assert kept(tmp_path / "store", "half")
    (tmp_path / "bench.toml").write_text("[defaults]\nkeep_maps = 'some'\n")
    with pytest.raises(UserError, match=r"defaults\.keep_maps"):
        run(toy, tmp_path / "store", refiner=["half"])


def test_n_images_are_shared_out() -> None:
    ids = [f"i{number:02}" for number in range(40)]
    gains = np.random.default_rng(0).normal(size=40)
    gains[3] = np.nan
    ranked = [ids[place] for place in np.argsort(gains) if place != 3]
    found = chosen("10", ids, gains)
    by = {rule: [one for one in ids if rule in found.get(one, ())] for rule in ("best", "median", "worst", "random")}
    assert {rule: len(images) for rule, images in by.items()} == {"best": 3, "median": 2, "worst": 3, "random": 2}
    assert set(by["worst"]) == set(ranked[:3]) and set(by["best"]) == set(ranked[-3:])
    assert ranked[19] in by["median"]  # of 39
    assert chosen("10", ids, None).keys() == set(by["random"])
    assert chosen("worst:99", ids, gains).keys() == set(ids) - {"i03"}
    assert chosen("random:2", ids[::-1], gains).keys() == set(by["random"])
    assert chosen("worst:2", ids, None) == chosen("0", ids, gains) == {}
    less = chosen("8", ids, gains)
    assert all(set(rules) <= set(found[one]) for one, rules in less.items())
