"""What enters a cell's key: whatever changes its numbers makes another cell, and nothing else computes anything."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bench
from bench.commands.run import RunResult
from tests.bench.conftest import Toy, install

PLUGINS = '''
import os
from pathlib import Path
from typing import Literal

import numpy as np


def note(text):
    with open(os.environ["TOY_LOG"], "a") as log:
        log.write(text + "\\n")


class Dial:
    """Multiplies the map."""

    requires, extra, version, trainable, uses_ground_truth = (), "", 1, False, False

    def __init__(self, *, factor: float = 1.0, times: int = 1, word: str = "a", which: Literal["up", "down"] = "up",
                 on: bool = True, sides: tuple[int, ...] = (1, 2), table: Path | None = None):
        self.factor = factor

    def fit(self, val, workdir):
        raise AssertionError("not trainable")

    def refine(self, images, maps):
        note("refined")
        return [probs * np.float32(self.factor) for probs in maps]


class Drawn:
    """A base whose one number is drawn by its seed."""

    requires, extra, version, trainable = (), "", 1, True

    def __init__(self, *, spread: float = 0.5, steps: int = 1, word: str = "a", on: bool = True,
                 table: Path | None = None, seed: int = 0):
        self.spread, self.seed, self.level = spread, seed, 0.0

    def fit(self, train, val, workdir):
        note("trained")
        self.level = self.spread * np.random.default_rng(self.seed).random()

    def predict(self, samples):
        return [np.full(sample.mask.shape, self.level, np.float32) for sample in samples]


class Share:
    """The share of foreground."""

    requires, extra, version = (), "", 1
    title, meaning, better, scale, digits = "Share", "how much is found", "higher", 100.0, 1

    def __init__(self, *, above: float = 0.5):
        self.above = above

    def __call__(self, probs, mask):
        return float((probs >= self.above).mean())
'''


@dataclass
class Bench:
    """A store, and what has been computed for it.

    Attributes:
        given: of ``bench.run``; `run` changes some of it.
        log: a line for each training and each refined image.
    """

    log: Path
    given: dict[str, Any] = field(default_factory=dict)

    def run(self, **changes: Any) -> RunResult:
        return bench.run(**{**self.given, **changes})

    def computed(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def toys(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Base ``drawn``, refiner ``dial`` and metric ``share`` on ten discs, two of them of test."""
    text = "[bench.refiners]\ndial = toy_keys:Dial\n[bench.bases]\ndrawn = toy_keys:Drawn\n"
    text += "[bench.metrics]\nshare = toy_keys:Share\n"
    install(tmp_path / "site", "toy_keys", PLUGINS, text, monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    given = {
        "dataset": [toy.dataset],
        "base": ["drawn"],
        "refiner": ["dial"],
        "metric": ["share"],
        "device": "cpu",
        "engine": "inline",
    }
    return Bench(tmp_path / "log", given)


def keys(result: RunResult) -> dict[str, str]:
    """Name of the refiner without its parameters -> key of its cell."""
    return {cell.refiner.entry.name: cell.manifest.key for cell in result.cells}


def assert_anew(toys: Bench, before: RunResult, after: RunResult, *refiners: str) -> None:
    """Those cells are others than before and were computed, and the earlier ones are still there."""
    old, new = keys(before), keys(after)
    for name in old:
        assert (new[name] != old[name]) == (name in refiners), name
        assert (new[name] in after.reused) == (name not in refiners), name
    done = {cell.key for cell in after.store.manifests() if cell.status == "done"}
    assert done >= {*old.values(), *new.values()}


def assert_nothing(toys: Bench, **changes: Any) -> None:
    """The same run once more computes nothing and leaves every file of the store as it is."""
    log, root = toys.computed(), Path(toys.run(**changes).store.address)
    stamps = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    again = toys.run(**changes)
    assert again.reused == set(keys(again).values())
    assert toys.computed() == log
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()} == stamps


BOTH = ("identity", "dial")


def test_what_is_unchanged_is_not_computed_again(toys: Bench) -> None:
    first = toys.run()
    assert sorted(set(toys.computed())) == ["refined", "trained"] and not first.reused
    assert_nothing(toys)


def test_a_second_run_says_that_there_is_nothing_to_compute(toys: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    toys.run()
    capsys.readouterr()
    toys.run()
    assert "all 2 cells are in the store: nothing to compute" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("plugin", "anew"), [("Dial", ("dial",)), ("Drawn", BOTH), ("Share", BOTH)], ids=["refiner", "base", "metric"]
)
def test_a_plug_ins_version(plugin: str, anew: tuple[str, ...], toys: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first = toys.run()
    trained = toys.computed().count("trained")
    monkeypatch.setattr(getattr(import_module("toy_keys"), plugin), "version", 2)
    assert_anew(toys, first, toys.run(), *anew)
    assert (toys.computed().count("trained") > trained) == (plugin == "Drawn")  # another refiner trains no base


def test_the_version_of_the_built_in_metrics(toys: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first = toys.run()
    for module in [module for name, module in sys.modules.items() if name.partition(".")[0] == "bench"]:
        if hasattr(module, "METRIC_VERSION"):  # whoever imported it has it by its own name
            monkeypatch.setattr(module, "METRIC_VERSION", bench.metrics.METRIC_VERSION + 1)
    assert_anew(toys, first, toys.run(), *BOTH)


@pytest.mark.parametrize(
    ("changes", "anew"),
    [
        ({"refiner": ["dial[factor=0.5]"]}, ("dial",)),
        ({"refiner": ["dial[times=2]"]}, ("dial",)),
        ({"refiner": ["dial[word=b]"]}, ("dial",)),
        ({"refiner": ["dial[which=down]"]}, ("dial",)),
        ({"refiner": ["dial[on=false]"]}, ("dial",)),
        ({"refiner": ["dial[sides=[1,3]]"]}, ("dial",)),
        ({"base": ["drawn[spread=0.25]"]}, BOTH),
        ({"base": ["drawn[steps=2]"]}, BOTH),
        ({"base": ["drawn[word=b]"]}, BOTH),
        ({"base": ["drawn[on=false]"]}, BOTH),
        ({"metric": ["share[above=0.25]"]}, BOTH),
        ({"metric": []}, BOTH),
        ({"seed": [1]}, BOTH),
        ({"protocol": ["B"]}, BOTH),
        ({"limit": 1}, BOTH),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_each_parameter(changes: dict[str, Any], anew: tuple[str, ...], toys: Bench) -> None:
    assert_anew(toys, toys.run(), toys.run(**changes), *anew)


@pytest.mark.parametrize(("kind", "anew"), [("refiner", ("dial",)), ("base", BOTH)])
def test_a_file_counts_by_its_contents(kind: str, anew: tuple[str, ...], toys: Bench, tmp_path: Path) -> None:
    spec = {"refiner": "dial", "base": "drawn"}[kind]
    table, moved = tmp_path / "table.csv", tmp_path / "elsewhere" / "table.csv"
    moved.parent.mkdir()
    for path in (table, moved):
        path.write_text("1,2\n")
    first = toys.run(**{kind: [f"{spec}[table={table}]"]})
    assert_anew(toys, first, toys.run(**{kind: [f"{spec}[table={moved}]"]}))  # another folder alone: none
    table.write_text("1,3\n")
    assert_anew(toys, first, toys.run(**{kind: [f"{spec}[table={table}]"]}), *anew)


def test_a_folder_counts_by_the_names_and_contents_of_its_files(toys: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "a").write_text("1")
    spec = {"refiner": [f"dial[table={folder}]"]}
    first = toys.run(**spec)
    moved = shutil.copytree(folder, tmp_path / "elsewhere" / "tables")
    assert_anew(toys, first, toys.run(refiner=[f"dial[table={moved}]"]))  # another place alone: none
    (folder / "a").rename(folder / "b")
    second = toys.run(**spec)
    assert_anew(toys, first, second, "dial")
    (folder / "b").write_text("2")
    assert_anew(toys, second, toys.run(**spec), "dial")


@pytest.mark.parametrize("part", ["images", "masks"])
def test_the_files_of_the_dataset(part: str, toy: Toy, toys: Bench) -> None:
    first = toys.run()
    folder: Path = getattr(toy, part)
    for path in folder.iterdir():
        path.write_bytes((folder / "disc1.png").read_bytes())
    assert_anew(toys, first, toys.run(), *BOTH)


def test_another_seed_trains_another_base(toys: Bench) -> None:
    """Its one number is the seed's, so the error of the map on background tells which was used."""
    result = toys.run(seed=[0, 1], metric=[])
    assert toys.computed().count("trained") >= 2
    for seed in (0, 1):
        (cell,) = [c for c in result.store.manifests() if c.seed == seed and c.refiner == "identity"]
        frame = result.store.records(cell)
        foreground, level = frame["union"] / (24 * 20), 0.5 * np.random.default_rng(seed).random()
        np.testing.assert_allclose(frame["mae"], foreground * (1 - level) + (1 - foreground) * level, atol=1e-4)
