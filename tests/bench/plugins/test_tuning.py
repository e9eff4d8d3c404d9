from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bench
from bench.cli import main
from bench.config import load
from bench.contracts import Span, UserError
from bench.images import read_map, read_mask
from bench.plugins.tuning import Search, propose
from bench.plugins.variants import resolve
from bench.registry import load_dataset
from bench.store import Store
from tests.bench.conftest import Toy, install

SHIFTS = """
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from bench.contracts import Refiner, Span, UserError


class Shift(Refiner):
    \"\"\"Adds a number to the map, and dies after so many calls as the variable CALLS allows.\"\"\"

    search_space = {"amount": Span(-0.5, 0.5), "clip": (0.9, 1.0)}

    def __init__(self, *, amount: float = 0.0, clip: float = 1.0, unsearched: int = 0):
        self.amount, self.clip = amount, clip

    def fit(self, val, workdir):
        raise AssertionError("not trainable")

    def refine(self, images, maps):
        if "CALLS" in os.environ:
            left = int(os.environ["CALLS"])
            if left == 0:
                raise KeyboardInterrupt
            os.environ["CALLS"] = str(left - 1)
        return [np.clip(probs + np.float32(self.amount), 0, self.clip).astype(np.float32) for probs in maps]


class Window(Refiner):
    \"\"\"Its parameters go together in some combinations only.\"\"\"

    search_space = {"inner": (1, 2, 4), "outer": (4, 8, 16), "ratio": Span(0.0, 1.0)}

    def __init__(self, *, inner: int = 1, outer: int = 4, ratio: float = 0.5, most: int = 16, fixed: bool = False):
        if not inner <= outer <= most or (fixed and ratio != 0.5):
            raise UserError("they do not go together", "window[...]", "give others")

    def refine(self, images, maps):
        return [probs.copy() for probs in maps]


class Learner(Shift):
    \"\"\"Writes down what it was fitted on, and refuses to refine any of it while it is being tuned.\"\"\"

    trainable = True

    def fit(self, val, workdir):
        self.seen = {val[index][0].image.tobytes() for index in range(len(val))}
        Path(os.environ["SEEN"]).open("a").write(f"{len(val)} {workdir.name}\\n")
        self.tuned = workdir.name != "trial"

    def refine(self, images, maps):
        assert self.tuned or not {image.tobytes() for image in images} & self.seen
        return super().refine(images, maps)
"""


@pytest.fixture
def shifts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = "[bench.refiners]\nshift = toy_shifts:Shift\nlearner = toy_shifts:Learner\nwindow = toy_shifts:Window\n"
    install(tmp_path / "site", "toy_shifts", SHIFTS, entries, monkeypatch)


def _miou(toy: Toy, ids: list[str], amount: float, clip: float) -> float:
    """Mean IoU on some of the toy's images, without anything of the harness but its readers."""
    ious = []
    for name in ids:
        probs = np.clip(read_map(toy.maps / f"{name}.png") + np.float32(amount), 0, np.float32(clip))
        mask = read_mask(toy.masks / f"{name}.png")
        ious.append(np.sum((probs >= 0.5) & mask) / np.sum((probs >= 0.5) | mask))
    return float(np.mean(ious))


@pytest.mark.usefixtures("shifts")
def test_what_it_finds_beats_the_defaults_on_val_and_is_scored_by_val_alone(toy: Toy, tmp_path: Path) -> None:
    found = bench.tune("shift", trials=12, dataset=toy.dataset, base=toy.base, store=tmp_path / "store")
    ids = list(load_dataset(toy.dataset).split("val").ids)
    assert found.images == len(ids) > 1
    # The maps are under-confident: without a shift they miss half of each disc.
    assert found.score > found.default_score + 0.1
    assert found.default_score == pytest.approx(_miou(toy, ids, 0.0, 1.0))
    assert found.score == pytest.approx(_miou(toy, ids, found.parameters["amount"], found.parameters["clip"]), abs=0.01)
    # What is written out is the same refiner.
    fixed = resolve("refiner", found.fixed, load()).parameters
    assert fixed == {**found.parameters, "unsearched": 0}


@pytest.mark.usefixtures("shifts")
def test_a_search_that_was_stopped_ends_as_one_that_was_not(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def log_of(store: Path) -> Path:
        (log,) = (*store.glob("refiners/*/trials.jsonl"), *store.glob("work/fit-*/trials.jsonl"))
        return log

    def trials(store: Path) -> list[str]:
        return log_of(store).read_text().splitlines()

    whole = bench.tune("shift", trials=14, dataset=toy.dataset, base=toy.base, store=tmp_path / "whole")
    monkeypatch.setenv("CALLS", str(7 * whole.images + 1))
    with pytest.raises(KeyboardInterrupt):
        bench.tune("shift", trials=14, dataset=toy.dataset, base=toy.base, store=tmp_path / "stopped")
    monkeypatch.delenv("CALLS")
    assert trials(tmp_path / "stopped") == trials(tmp_path / "whole")[:7]
    with log_of(tmp_path / "stopped").open("a") as stream:
        stream.write('{"parameters": {"amo')  # what a kill in the middle of a write leaves
    again = bench.tune("shift", trials=14, dataset=toy.dataset, base=toy.base, store=tmp_path / "stopped")
    assert trials(tmp_path / "stopped") == trials(tmp_path / "whole")
    assert again.parameters == whole.parameters


@pytest.mark.usefixtures("shifts")
def test_one_that_learns_is_judged_on_what_it_was_not_fitted_on(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    found = bench.tune("learner", trials=3, dataset=toy.dataset, base=toy.base, store=tmp_path / "store")
    *tried, final = (tmp_path / "seen").read_text().splitlines()
    half = (found.images + 1) // 2
    assert tried == [f"{half} trial"] * 3  # and `refine` itself asserts that the halves are disjoint
    assert final == f"{found.images} refiner"


@pytest.mark.usefixtures("shifts")
def test_a_run_with_one_budget_tunes_what_can_be_tuned(toy: Toy, tmp_path: Path) -> None:
    result = bench.run(
        dataset=[toy.dataset],
        base=[toy.base],
        refiner=["shift", "shift[amount=0.1]", "shift[amount=0.1,clip=1.0]", "threshold"],
        tune=4,
        objective="boundary_iou",
        store=tmp_path / "store",
        engine="inline",
    )
    assert [cell.manifest.refiner for cell in result.cells] == [
        "identity",
        "shift[tune=4,objective=boundary_iou]",
        "shift[amount=0.1,tune=4,objective=boundary_iou]",
        "shift[amount=0.1]",  # nothing of it is left to tune
        "threshold",
    ]
    tuned = {manifest.refiner: manifest.tuned for manifest in Store(tmp_path / "store").manifests()}
    assert tuned["shift[amount=0.1,tune=4,objective=boundary_iou]"]["parameters"].keys() == {"clip"}
    assert tuned["shift[tune=4,objective=boundary_iou]"]["trials"] == 4
    assert tuned["threshold"] == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--refiner", "identity", "--trials", "3"], "identity has nothing to tune"),
        (["--refiner", "shift[amount=0.1,clip=1.0]", "--trials", "3"], "nothing to tune"),
        (["--refiner", "shift[tune=none]", "--trials", "3"], "cannot tune with none trials"),
        (["--refiner", "shift[tune=3,objective=dice]", "--trials", "3"], "no such objective 'dice'"),
        (["--refiner", "shift", "--trials", "0"], "it must be a positive whole number"),
    ],
)
@pytest.mark.usefixtures("shifts")
def test_what_cannot_be_tuned_is_told(
    toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    store = tmp_path / "store"
    where = ["--dataset", toy.dataset, "--base", toy.base, "--store", str(store)]
    try:
        code = main(["tune", *arguments, *where])
    except SystemExit as ended:  # argparse's own
        code = int(ended.code or 0)
    assert code == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and said in errors[0]
    assert not store.exists()


def test_proposals_stay_in_the_space_and_depend_on_seed_and_history_alone() -> None:
    search = Search(8, "iou", {"a": Span(1, 9), "b": Span(0.01, 10.0, log=True), "c": ("x", "y")})
    trials: list[dict[str, Any]] = [{"parameters": {"a": None, "b": 1.0, "c": "x"}, "score": 0.5}]
    for _ in range(20):
        proposed = propose(search, trials, seed=1)
        assert proposed == propose(search, json.loads(json.dumps(trials)), seed=1)
        assert isinstance(proposed["a"], int) and 1 <= proposed["a"] <= 9
        assert 0.01 <= proposed["b"] <= 10 and proposed["c"] in ("x", "y")
        trials.append({"parameters": proposed, "score": -abs(proposed["a"] - 7)})
    assert propose(search, trials[:1], seed=1) != propose(search, trials[:1], seed=2)
    # It learns: the later half is nearer to the optimum than chance (2.8 on average).
    assert np.mean([-trial["score"] for trial in trials[11:]]) < 2


def test_tuning_is_part_of_the_identity() -> None:
    settings = load()
    plain, tuned = resolve("refiner", "prn", settings), resolve("refiner", "prn[tune=9]", settings)
    other = resolve("refiner", "prn[tune=9,objective=boundary_iou]", settings)
    assert tuned.label == "prn[tune=9]"
    assert len({json.dumps(variant.identity) for variant in (plain, tuned, other)}) == 3
    assert tuned.tuned(20, None).spec == "prn[tune=9]"
    assert resolve("refiner", "prn[size=96]", settings).tuned(20, None).spec == "prn[size=96,tune=20]"
    assert resolve("refiner", "identity", settings).tuned(20, None).spec == "identity"
    with pytest.raises(UserError, match="nothing left to tune"):
        resolve("refiner", "prn[grid=4,alpha=0.5,gamma=1,tune=9]", settings)


@pytest.mark.usefixtures("shifts")
def test_what_was_found_serves_on_new_maps(toy: Toy, tmp_path: Path) -> None:
    store, out = tmp_path / "store", tmp_path / "out"
    found = bench.tune("shift", trials=6, dataset=toy.dataset, base=toy.base, store=store)
    (folder,) = (store / "refiners").iterdir()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    bench.refine(refiner="shift[tune=6]", checkpoint=folder, images=toy.images, maps=toy.maps, out=out)
    for path in toy.maps.iterdir():
        expected = np.clip(read_map(path) + np.float32(found.parameters["amount"]), 0, found.parameters["clip"])
        np.testing.assert_allclose(read_map(out / path.name), expected, atol=1e-4)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.usefixtures("shifts")
def test_a_checkpoint_folder_of_another_refiner_is_refused(toy: Toy, tmp_path: Path) -> None:
    store = tmp_path / "store"
    bench.tune("shift", trials=2, dataset=toy.dataset, base=toy.base, store=store)
    (folder,) = (store / "refiners").iterdir()
    files: dict[str, Any] = {"images": toy.images, "maps": toy.maps, "out": tmp_path / "out"}
    with pytest.raises(UserError, match=r"was learned by shift\[tune=2\], not threshold .*say --refiner 'shift"):
        bench.refine(refiner="threshold", checkpoint=folder, **files)
    with pytest.raises(UserError, match="no run has left a trained refiner here"):
        bench.refine(refiner="threshold", checkpoint=toy.images, **files)
    (folder / "tuned.json").unlink()
    (folder / "trials.jsonl").unlink()
    with pytest.raises(UserError, match=r"damaged, trials.jsonl is gone"):
        bench.refine(refiner="shift[tune=2]", checkpoint=folder, **files)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.usefixtures("shifts")
@pytest.mark.parametrize(
    ("spec", "offered"),
    [
        ("window[tune=3]", {"inner": (1, 2, 4), "outer": (4, 8, 16), "ratio": Span(0.0, 1.0)}),
        ("window[most=8,tune=3]", {"inner": (1, 2, 4), "outer": (4, 8), "ratio": Span(0.0, 1.0)}),
        ("window[outer=2,tune=3]", {"inner": (1, 2), "ratio": Span(0.0, 1.0)}),
        ("window[fixed=true,tune=3]", {"inner": (1, 2, 4), "outer": (4, 8, 16)}),
        ("prn[size=64,patch=16,tune=3]", {"alpha": Span(0.0, 1.0), "gamma": Span(0.0, 4.0)}),
        ("prn[size=64,grid=4,tune=3]", {"alpha": Span(0.0, 1.0), "gamma": Span(0.0, 4.0)}),
        (
            "prn[size=24,tune=3]",
            {"grid": (1, 2, 4, 8), "alpha": Span(0.0, 1.0), "gamma": Span(0.0, 4.0)},
        ),
    ],
)
def test_only_what_goes_with_the_given_parameters_is_searched(spec: str, offered: dict[str, object]) -> None:
    variant = resolve("refiner", spec, load())
    assert variant.search is not None and variant.search.space == offered
    variant.make()


@pytest.mark.usefixtures("shifts")
def test_every_trial_of_given_parameters_makes_a_refiner(toy: Toy, tmp_path: Path) -> None:
    found = bench.tune("window[outer=2]", trials=8, dataset=toy.dataset, base=toy.base, store=tmp_path / "store")
    assert found.trials == 8 and found.parameters["inner"] in (1, 2)


@pytest.mark.usefixtures("shifts")
def test_where_nothing_goes_with_them_a_run_tunes_the_others(toy: Toy) -> None:
    spec = "window[inner=1,ratio=0.5,outer=4,tune=2]"
    with pytest.raises(UserError, match="nothing left to tune"):
        resolve("refiner", spec, load())
    only = resolve("refiner", "window[inner=1,ratio=0.5,most=4]", load()).tuned(2, None)
    assert only.search is not None and only.search.space == {"outer": (4,)}
    assert resolve("refiner", "window[inner=1,outer=4,fixed=true]", load()).tuned(2, None).search is None
