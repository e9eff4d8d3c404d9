"""Refiners one after the other: ``threshold+prn-fast``, wherever a refiner is named."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bench
from bench.cli import main
from bench.config import Settings, load
from bench.contracts import AsksBase, MapDataset, Oracle, ProbabilityMap, Sample, UserError
from bench.execution.contamination import seen
from bench.images import read_map
from bench.plugins.spec import parts_of
from bench.plugins.tuning import Tuned
from bench.plugins.variants import Variant, resolve
from bench.registry import load_refiner
from bench.reports.selection import told_apart
from bench.store import Store
from tests.bench.conftest import Toy, install

STEPS = """
import os
import signal
import time
from pathlib import Path

import numpy as np

from bench.contracts import Refiner, Span, UserError


class Add(Refiner):
    \"\"\"Adds a number to the map, or does as badly as it is told.\"\"\"

    search_space = {"amount": Span(-0.5, 0.5)}
    trained_on = ("ECSSD",)

    def __init__(self, *, amount: float = 0.0, table: Path | None = None, epochs: int = 1, wrong: str = "nothing",
                 knows: bool = False, device: str = "cpu", seed: int = 0):
        self.amount, self.wrong, self.epochs, self.given = amount, wrong, epochs, (device, seed)

    def refine(self, images, maps):
        if self.wrong == "raises":
            raise ZeroDivisionError("a defect of the plug-in")
        if self.wrong == "refuses":
            raise UserError("does not like it", "add[...]", "leave it")
        if self.wrong == "shape":
            return [probs[1:] for probs in maps]
        if self.wrong == "nan":
            return [np.full_like(probs, np.nan) for probs in maps]
        if self.wrong == "few":
            return []
        if self.wrong == "writes":
            maps[0][:] = 0
        if self.wrong == "keeps":
            self.kept = [probs.copy() for probs in maps]
            return self.kept
        return [np.clip(probs + np.float32(self.amount), 0, 1).astype(np.float32) for probs in maps]


class Mean(Refiner):
    \"\"\"Learns the mean of the maps of each image that it is fitted on, and adds that of all.

    What it is fitted on is written down in LOG: its name, the folder, and the mean of each image by its id.
    \"\"\"

    trainable = True

    def __init__(self, *, kill: str = "", amount: float = 0.0):
        self.kill, self.mean, self.amount = kill, None, amount

    def check_fit(self):
        if self.kill == "check":
            raise UserError("cannot begin", "mean", "do not ask")

    def fit(self, val, workdir):
        if not (workdir / "mean.txt").is_file():
            workdir.mkdir(parents=True, exist_ok=True)
            found = []
            for index in range(len(val)):
                sample, probs = val[index]
                found.append((sample.id, float(probs.mean())))
                here = self.kill and (Path(self.kill) / "where").read_text() == workdir.parent.name
                if here and index == 2 and not (Path(self.kill) / "killed").is_file():
                    (Path(self.kill) / "killed").write_text("")
                    os.kill(os.getpid(), signal.SIGKILL)
            with (Path(os.environ["LOG"])).open("a") as log:
                log.write(f"{'|'.join(workdir.parts[-3:])};{found}\\n")
            (workdir / "mean.txt").write_text(repr(sum(mean for _, mean in found) / len(found)))
        self.mean = float((workdir / "mean.txt").read_text())

    def refine(self, images, maps):
        return [np.clip(probs + np.float32(self.mean / 4 + self.amount), 0, 1).astype(np.float32) for probs in maps]


class Base(Refiner):
    \"\"\"The mean of the map and of the base's of the same image.\"\"\"

    def ask(self, base):
        self.base = base

    def refine(self, images, maps):
        return [(probs + other) / 2 for probs, other in zip(maps, self.base(images))]
"""

ALIASES = """
[variants.refiner]
pair = "add[amount=0.25] + threshold"
longer = "pair+morphology"
loop = "add+other"
other = "loop+add"
inside = "add+nest"
nest = "gated[refiner=inside]"
lone = "add+"
"""


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = "add = toy_steps:Add\nmean = toy_steps:Mean\nbase-mean = toy_steps:Base\n"
    install(tmp_path / "site", "toy_steps", STEPS, f"[bench.refiners]\n{names}", monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    (tmp_path / "bench.toml").write_text(ALIASES)


@pytest.fixture
def known(_installed: None) -> Settings:
    return load()


class Val:
    """Six small maps of noise: `bench.contracts.MapDataset`."""

    def __init__(self, count: int = 6) -> None:
        draw = np.random.default_rng(5)
        self.maps = [draw.random((7, 9), np.float32) * np.float32(draw.uniform(0.2, 0.9)) for _ in range(count)]
        self.ids = [f"i{number}" for number in range(count)]

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, index: int, /) -> tuple[Sample, ProbabilityMap]:
        probs = self.maps[index]
        return Sample(self.ids[index], np.zeros((*probs.shape, 3), np.uint8), probs > 0.5), probs


def fits(folder: Path) -> list[tuple[str, dict[str, float]]]:
    """What `Mean` was fitted on, call by call."""
    lines = [line.split(";", 1) for line in (folder / "log").read_text().splitlines()]
    return [(place, dict(eval(found))) for place, found in lines]


names = st.sampled_from(["add", "gated[refiner=add+prn]", 'x[a="+"]', "y[b=[1,2]]", "z[path=a+b]"])


@given(st.lists(names, min_size=1, max_size=5), st.sampled_from(["+", " + ", "+ "]))
def test_a_sequence_is_cut_where_it_is_one(parts: list[str], between: str) -> None:
    assert parts_of(between.join(parts), "--refiner") == parts


@given(st.text(alphabet="ab=+,[]\"' \\\n", max_size=30))
def test_whatever_is_written_is_cut_or_refused_in_one_line(text: str) -> None:
    try:
        parts = parts_of(text, "--refiner")
    except UserError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert [text] == parts or all(part == part.strip() != "" for part in parts)


FREE = ["identity", "morphology", "guided-filter", "grabcut", "densecrf", "fast-bilateral-solver"]


@settings(deadline=None, max_examples=25)
@given(st.lists(st.sampled_from(FREE), min_size=2, max_size=3), st.integers(0, 2**32 - 1))
def test_a_sequence_is_its_parts_applied_in_order(parts: list[str], seed: int) -> None:
    draw = np.random.default_rng(seed)
    height, width = draw.integers(1, 40, 2)
    image, probs = draw.integers(0, 256, (height, width, 3), np.uint8), draw.random((height, width), np.float32)
    expected = probs
    for part in parts:
        (expected,) = load_refiner(part).refine([image], [expected.copy()])
    (found,) = load_refiner("+".join(parts)).refine([image], [probs.copy()])
    np.testing.assert_array_equal(found, expected)


def test_its_names(known: Settings) -> None:
    def label(spec: str) -> str:
        return resolve("refiner", spec, known).label

    assert label(" add[ amount=0.5 ] + threshold ") == "add[amount=0.5]+threshold"
    assert label("pair") == "pair" and label("longer") == "longer" and label("pair+add") == "pair+add"
    assert label("gated[refiner=add + threshold, risk=0.2]") == "gated[refiner=add+threshold,risk=0.2]"
    assert label("add+add[tune=3]+add") == "add+add[tune=3]+add"
    assert resolve("refiner", "pair", known).spec == "add[amount=0.25]+threshold"


def test_its_identity_is_that_of_its_parts_in_order(known: Settings) -> None:
    def identity(spec: str) -> str:
        return json.dumps(resolve("refiner", spec, known).identity, sort_keys=True)

    same = ["longer", "pair+morphology", "add[amount=0.250]+threshold+morphology"]
    assert len({identity(spec) for spec in same}) == 1
    others = ["add+threshold", "threshold+add", "pair", "add[amount=0.25]", "add+add", "add", "add+add+add"]
    assert len({identity(spec) for spec in [*others, "add[tune=2]+threshold"]}) == len(others) + 1
    two = resolve("refiner", "pair", known)
    assert two.identity["parameters"]["parts"] == [part.identity for part in two.nested.values()]
    assert pickle.loads(pickle.dumps(two)).identity == two.identity


def test_files_of_its_parts_are_watched_and_told_apart(known: Settings, tmp_path: Path) -> None:
    variants = []
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "t").write_text(folder)
        variants.append(resolve("refiner", f"threshold+add[table={tmp_path / folder / 't'}]", known))
    shown = [*told_apart([variant.name for variant in variants]).values()]
    assert shown == [f"threshold+add[table={folder}/t]" for folder in "ab"]
    first: Variant = pickle.loads(pickle.dumps(variants[0]))
    assert variants[0].identity != variants[1].identity and first.identity == variants[0].identity
    (tmp_path / "a" / "t").write_text("changed")
    with pytest.raises(UserError, match="a/t"):
        first.check_unchanged()


def test_parts_get_the_device_the_seed_and_what_is_set_for_all(tmp_path: Path) -> None:
    made: Any = load_refiner("add+add[amount=0.5]", settings=load(None, ["add.amount=0.125"]), seed=7)
    assert [part.given for part in made.parts] == [("cpu", 7)] * 2
    assert [part.amount for part in made.parts] == [0.125, 0.5]
    several: Any = resolve("refiner", "add+threshold+add[epochs=3]", load()).having("epochs", 2).make()
    assert [several.parts[0].epochs, several.parts[2].epochs] == [2, 2]
    tuned: Any = resolve("refiner", "add+threshold+add[tune=3]", load()).tuned(9, None)
    assert tuned.label == "add[tune=9]+threshold+add[tune=3]" and tuned.searches
    assert [isinstance(part, Tuned) for part in tuned.make().parts] == [True, False, True]
    untunable = resolve("refiner", "threshold+identity", load())
    assert untunable.tuned(9, None) is untunable


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("add+", "a part is missing in 'add+' (--refiner): write name+name"),
        ("+add", "a part is missing in '+add'"),
        ("add++add", "a part is missing in 'add++add'"),
        ("+", "a part is missing in '+'"),
        ("lone", "a part is missing in 'add+' (variants.refiner.lone)"),
        ("add+shfit", "no such refiner 'shfit' (--refiner)"),
        ("add+add[amout=1]", "no parameter 'amout' (--refiner): did you mean 'amount'?"),
        ("add+add[amount=1", "cannot read 'add+add[amount=1' (--refiner): close its quotes or brackets"),
        ("add[amount=1]x+add", "cannot read 'add[amount=1]x'"),
        ("pair[amount=1]", "'pair' is a sequence and has no parameters (--refiner): write it out"),
        ("loop", "'loop' leads back to itself (variants.refiner.loop)"),
        ("nest", "leads back to itself"),
        ("gated[refiner=add+oracle-image]", "oracle-image sees the ground truth (--refiner gated[refiner=oracle-image"),
        ("gated[refiner=base-mean+add]", "base-mean asks the base for maps"),
        ("gated[refiner=add+]", "a part is missing in 'add+' (--refiner gated[refiner=add+])"),
    ],
)
def test_what_is_no_sequence_is_told_in_one_line(known: Settings, spec: str, says: str) -> None:
    with pytest.raises(UserError) as raised:
        resolve("refiner", spec, known)
    assert says in str(raised.value) and len(str(raised.value).splitlines()) == 1


def test_a_base_is_none() -> None:
    with pytest.raises(UserError, match="no such base"):
        resolve("base", "unet+pspnet", load())


def test_parts_are_fitted_in_order_on_what_those_before_make_of_val_unseen(tmp_path: Path) -> None:
    val: MapDataset = Val()
    chain: Any = load_refiner("mean+identity+mean", seed=1)
    chain.fit(val, tmp_path / "work")
    whole, *folds, last = fits(tmp_path)
    means = {sample_id: float(probs.mean()) for sample_id, probs in zip(val.ids, Val().maps, strict=True)}
    assert whole[0].endswith("1|refiner") and whole[1] == means
    # Six images in five folds: each is refined by the copy that has not seen it, exactly.
    assert len(folds) == 5 and all("1|folds" in place for place, _ in folds)
    missing = [means.keys() - found.keys() for _, found in folds]
    assert sorted(map(len, missing)) == [1, 1, 1, 1, 2] and set().union(*missing) == means.keys()
    expected = {}
    for (_, found), gone in zip(folds, missing, strict=True):
        for sample_id in gone:
            added = np.float32(sum(found.values()) / len(found) / 4)
            expected[sample_id] = float(np.clip(Val().maps[val.ids.index(sample_id)] + added, 0, 1).mean())
    assert last[0].endswith("3|refiner") and last[1] == pytest.approx(expected, abs=1e-6)
    # What is refined anew goes through the first part as it stands alone.
    alone: Any = load_refiner("mean", seed=1)
    alone.fit(val, tmp_path / "alone")
    assert chain.parts[0].mean == alone.mean
    assert not [*(tmp_path / "work").rglob("maps")]
    # What was learned is loaded, and nothing is learned or made again.
    count, before = len(fits(tmp_path)), sorted((tmp_path / "work").rglob("*"))
    again: Any = load_refiner("mean+identity+mean", seed=1)
    again.fit(val, tmp_path / "work")
    assert len(fits(tmp_path)) == count and sorted((tmp_path / "work").rglob("*")) == before
    images, maps = [np.zeros((7, 9, 3), np.uint8)], [Val().maps[0]]
    np.testing.assert_array_equal(again.refine(images, maps)[0], chain.refine(images, maps)[0])
    # Unseen as a whole, for one that takes it.
    unseen = chain.refine_unseen(val, 2)
    assert unseen.shape == (7, 9) and len(fits(tmp_path)) == count + 1


def test_nothing_is_fitted_without_need(tmp_path: Path) -> None:
    load_refiner("mean+identity").fit(Val(), tmp_path / "one")
    load_refiner("identity+mean").fit(Val(), tmp_path / "two")
    assert [place.split("|", 1)[1] for place, _ in fits(tmp_path)] == ["1|refiner", "2|refiner"]
    with pytest.raises(UserError, match="val has 1 image"):
        load_refiner("mean+mean").fit(Val(1), tmp_path / "three")
    load_refiner("mean+identity").fit(Val(1), tmp_path / "four")


def halved(toy: Toy) -> str:
    """With five images each in val and test."""
    return toy.dataset.replace("]", ",val=0.5,test=0.5]")


def run(toy: Toy, store: Path, *refiners: str, **more: Any) -> Any:
    """A run; its table by refiner."""
    options = {"engine": "inline", "seed": [0]} | more
    bench.run(dataset=[halved(toy)], base=[toy.base], refiner=refiners, store=store, **options)
    return bench.load(store).table().set_index("refiner")


def test_a_run_gives_the_numbers_of_the_first_part_and_of_what_changes_nothing(toy: Toy, tmp_path: Path) -> None:
    store, refiners = tmp_path / "store", ["threshold", "threshold+identity", "identity+threshold", "threshold+add"]
    table = run(toy, store, *refiners)
    records: Any = bench.load(store).records()
    kept = [key for key in records if key not in {"refiner", "key"} and "seconds" not in key and "_mb" not in key]
    alone = records[records["refiner"] == "threshold"][kept].reset_index(drop=True)
    for other in refiners[1:]:
        pd.testing.assert_frame_equal(records[records["refiner"] == other][kept].reset_index(drop=True), alone)
    assert (table.loc["threshold+add", "fit_seconds"]) > 0
    stored = {manifest.refiner: manifest for manifest in Store(store).manifests()}
    assert stored["threshold+add"].names["refiner"].nested["2"].name == "add"
    assert stored["threshold+add"].contaminated == [] and not stored["threshold+add"].uses_ground_truth


def test_what_its_beginning_has_learned_is_not_learned_again(toy: Toy, tmp_path: Path) -> None:
    run(toy, tmp_path / "store", "mean", "mean+mean", "mean+mean+morphology", "gated[refiner=mean+mean]")
    places = [place for place, _ in fits(tmp_path)]
    assert sum(place.endswith("refiner") for place in places) == 1  # the second part's
    assert sum("1|folds" in place for place in places) == 5
    seconds: Any = bench.load(tmp_path / "store").table().set_index("refiner")["fit_seconds"]
    assert seconds["mean+mean+morphology"] >= seconds["mean+mean"] >= seconds["mean"]


@pytest.mark.parametrize("wrong", ["shape", "nan", "few", "writes", "raises", "refuses"])
def test_what_a_part_does_wrong_is_told_of_the_part(toy: Toy, tmp_path: Path, wrong: str) -> None:
    store, spec = tmp_path / "store", f"identity+add[wrong={wrong}]+identity"
    run(toy, store, spec, engine="local", on_error="skip")
    (said,) = (manifest.error for manifest in Store(store).manifests() if manifest.refiner == spec)
    assert f"part 2, add[wrong={wrong}]" in said and len(said.splitlines()) == 1
    assert f"{spec}: disc" in said or said.startswith("ZeroDivisionError: a defect of the plug-in (part 2, ")


def test_an_oracle_in_it_makes_it_one(toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, spec = tmp_path / "store", "threshold+oracle-image+mean"
    table = run(toy, store, spec, "threshold+oracle-image", "threshold")
    stored = {manifest.refiner: manifest for manifest in Store(store).manifests()}
    assert stored[spec].uses_ground_truth and isinstance(load_refiner(spec), Oracle)
    assert not isinstance(load_refiner("threshold+add"), Oracle | AsksBase)
    assert table.loc["threshold+oracle-image", "iou"] >= table.loc["threshold", "iou"]
    with pytest.raises(UserError, match="needs the ground truth"):
        bench.refine(refiner="add+oracle-image", images=toy.images, maps=toy.maps, out=tmp_path / "out")


def test_a_part_may_ask_the_base(toy: Toy, tmp_path: Path) -> None:
    chain: Any = load_refiner("add[amount=0.5]+base-mean")
    assert isinstance(load_refiner("base-mean+add"), AsksBase)
    chain.ask(lambda images: [np.zeros(image.shape[:2], np.float32) for image in images])
    (found,) = chain.refine([np.zeros((2, 2, 3), np.uint8)], [np.zeros((2, 2), np.float32)])
    np.testing.assert_allclose(found, 0.25)
    with pytest.raises(UserError, match="asks for maps of images of its own making"):
        run(toy, tmp_path / "store", "add+base-mean")


def test_whether_a_part_can_be_fitted_is_asked_before_a_run(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot begin \(threshold\+mean\[kill=check\]: part 2"):
        run(toy, tmp_path / "store", "threshold+mean[kill=check]")


def test_what_weights_of_its_parts_saw_counts(known: Settings) -> None:
    variant = resolve("refiner", "threshold+add", known)
    assert seen(variant.make(), variant, known) == {"ECSSD"}


def is_of_the_first(place: str) -> bool:
    return re.search(r"(^|\|)1\|(refiner|folds)", place) is not None


@pytest.mark.parametrize("where", ["2", "folds"])
def test_a_kill_in_the_second_part_loses_nothing_of_the_first(toy: Toy, tmp_path: Path, where: str) -> None:
    """In its own fit, or in that of one of its copies, which a third part needs."""
    (tmp_path / "where").write_text(where)
    spec = f"mean+mean[kill={tmp_path}]+mean"
    code = (
        "import bench, sys;"
        f"bench.run(dataset=[{halved(toy)!r}], base=[{toy.base!r}], refiner=[{spec!r}], store=sys.argv[1], seed=[0],"
        " engine='inline')"
    )
    root = str(Path(__file__).parents[3])
    environment = os.environ | {"PYTHONPATH": f"{root}:{tmp_path / 'site'}"}

    def started(store: str) -> int:
        return subprocess.run([sys.executable, "-c", code, store], env=environment, capture_output=True).returncode

    assert started("store") == -signal.SIGKILL
    (work,) = (tmp_path / "store" / "work").glob("*/1")
    first = {path: path.read_bytes() for path in work.rglob("*") if path.is_file()}
    assert len([path for path in first if path.suffix == ".npy"]) > 2 and work / "fitted" in first
    before = fits(tmp_path)
    assert sum(is_of_the_first(place) for place, _ in before) == 6
    assert len(before) == (6 if where == "2" else 7)
    assert started("store") == 0
    after = fits(tmp_path)[len(before) :]
    assert not any(is_of_the_first(place) for place, _ in after)
    assert len(before) + len(after) == 13
    assert started("other") == 0  # never killed
    columns = ["id", "iou", "mae", "boundary_iou"]
    one, other = (
        records[records["refiner"] == spec][columns]
        for records in (bench.load(tmp_path / name).records() for name in ("store", "other"))
    )
    pd.testing.assert_frame_equal(one, other)


def test_what_a_run_has_learned_serves_elsewhere(toy: Toy, tmp_path: Path) -> None:
    specs = ["threshold+image-threshold", "gated[refiner=threshold+mean]", "prn-fast"]
    run(toy, tmp_path / "store", *specs[:2])
    for number, spec in enumerate(specs[:2]):
        (trained,) = (
            path
            for path in (tmp_path / "store" / "refiners").iterdir()
            if json.loads((path / "finished.json").read_text())["refiner"] == spec
        )
        out = tmp_path / f"out{number}"
        bench.refine(refiner=spec, checkpoint=trained, images=toy.images, maps=toy.maps, out=out)
        assert len([*out.glob("*.png")]) == 10
    bench.refine(refiner="add[amount=0.1]+add[amount=0.1]", images=toy.images, maps=toy.maps, out=tmp_path / "free")
    for path in toy.maps.iterdir():
        expected = np.clip(read_map(path) + np.float32(0.2), 0, 1)
        np.testing.assert_allclose(read_map(tmp_path / "free" / path.name), expected, atol=1e-4)
    with pytest.raises(UserError, match="threshold\\+add is not trained"):
        bench.refine(refiner="threshold+add", images=toy.images, maps=toy.maps, out=tmp_path / "no")
    weights = tmp_path / "weights"
    weights.write_text("")
    with pytest.raises(UserError, match=r"is a sequence, and takes no weights file \(--checkpoint\)"):
        bench.refine(refiner="threshold+add", checkpoint=weights, images=toy.images, maps=toy.maps, out=tmp_path / "no")


def test_each_part_is_tuned(toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("optuna")
    store = tmp_path / "store"
    run(toy, store, "add+threshold+add", tune=3)
    (cell,) = (one for one in Store(store).manifests() if one.refiner != "identity")
    assert cell.refiner == "add[tune=3]+threshold+add[tune=3]" and cell.tuned == {}
    assert cell.tuned_inside.keys() == {"part 1, add[tune=3]", "part 3, add[tune=3]"}
    assert all(found["trials"] == 3 for found in cell.tuned_inside.values())
    capsys.readouterr()
    assert main(["report", "--store", str(store), "--wide"]) == 0
    assert "part 3, add[tune=3]: tuned on val, 3 trials of iou" in " ".join(capsys.readouterr().out.split())
    said = (
        r"add\+threshold is a sequence \(--refiner\): tune its parts in a run: bench run --refiner 'add\[tune=4\]\+th"
    )
    with pytest.raises(UserError, match=said):
        bench.tune("add+threshold", trials=4, dataset=toy.dataset, base=toy.base, store=store)


def test_it_is_checked_as_a_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "add+threshold"]) == 0
    shown = capsys.readouterr().out
    assert "add+threshold" in shown and "all parts together" in shown and "FAIL" not in shown
    assert main(["check", "add+shfit"]) == 2
