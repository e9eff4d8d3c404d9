"""A file that is replaced while a run computes: no number of it is kept, and once it is restored all are right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import bench
from bench.commands.run import RunResult
from bench.contracts import Split, UserError
from bench.execution import engines
from bench.images import write_map
from bench.plugins.variants import Variant
from bench.registry import load_dataset
from tests.bench.conftest import Toy, install
from tests.bench.records import METRIC_COLUMNS

DRAWN = '''
from pathlib import Path

import hashlib
import numpy as np

from bench.contracts import Sample

LEVEL = Path(__file__).with_name("level.txt")


class Drawn:
    """Samples of one file, read by itself: a dataset that is not made of pairs."""

    name, split = "drawn", "test"

    def __init__(self, split, count):
        self.split, self.ids = split, [f"{split}{n}" for n in range(count)]

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        mask = np.zeros((9, 9), bool)
        mask[: int(LEVEL.read_text())] = True
        return Sample(self.ids[index], np.repeat(mask[..., None] * np.uint8(200), 3, axis=2), mask)

    def fingerprint(self):
        return hashlib.sha256((LEVEL.read_text() + " ".join(self.ids)).encode()).hexdigest()


class Source:
    name, corpora = "drawn", {}
    expected = found = {"train": 0, "val": 0, "test": 70}

    def completeness(self):
        return ""

    def split(self, split):
        return Drawn(split, self.found[split])

    def verify(self):
        return []
'''

BRIGHT = """
from bench.contracts import BaseNetwork


class Bright(BaseNetwork):
    def predict(self, samples):
        return [sample.image[..., 0].astype("float32") / 255 for sample in samples]
"""


FACTOR = """
from pathlib import Path

from bench.contracts import Refiner


class Factor(Refiner):
    def __init__(self, *, weights: Path):
        self.weights, self.factor = weights, None

    def refine(self, images, maps):
        self.factor = self.factor or float(self.weights.read_text())
        return [(probs * self.factor).astype("float32") for probs in maps]
"""

Between: TypeAlias = Callable[[Callable[[], object]], None]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Between:
    """What is called once a run is planned and before its first stage."""

    def set_up(happens: Callable[[], object]) -> None:
        load, todo = engines.load, [happens]

        def later(name: str) -> object:
            engine = load(name)  # type: ignore[arg-type]

            def execute(*arguments: object) -> None:
                while todo:
                    todo.pop()()
                engine(*arguments)  # type: ignore[arg-type]

            return execute

        monkeypatch.setattr(engines, "load", later)

    return set_up


def run(toy: Toy, store: str, **options: object) -> RunResult:
    given = {"dataset": [toy.dataset], "base": [toy.base], "refiner": ["threshold"], **options}
    return bench.run(**given, store=store, engine="inline", device="cpu")  # type: ignore[arg-type]


def assert_same(one: RunResult, other: RunResult) -> None:
    for left, right in zip(numbers(one), numbers(other), strict=True):
        pd.testing.assert_frame_equal(left, right)


def numbers(result: RunResult) -> list[pd.DataFrame]:
    return [result.store.records(cell.manifest)[["id", *METRIC_COLUMNS]] for cell in result.cells]


def check(toy: Toy, between: Between, file: Path, other: bytes | None, **options: object) -> str:
    """Replace a file within a run, or remove it; what that says. Restored, the numbers are those of a calm run."""
    before = file.read_bytes() if file.exists() else None

    def replace() -> None:
        file.unlink(missing_ok=True)
        if other is not None:
            file.write_bytes(other)

    between(replace)
    with pytest.raises(UserError) as error:
        run(toy, "store", **options)
    assert "\n" not in str(error.value)
    file.unlink(missing_ok=True)
    if before is not None:
        file.write_bytes(before)
    restored, calm = run(toy, "store", **options), run(toy, "calm", **options)
    for one, two in zip(numbers(restored), numbers(calm), strict=True):
        pd.testing.assert_frame_equal(one, two)
    return str(error.value)


def ids(toy: Toy, split: Split) -> list[str]:
    return list(load_dataset(toy.dataset).split(split).ids)


@pytest.mark.parametrize("kind", ["images", "masks"])
@pytest.mark.parametrize("split", ["val", "test"])
@pytest.mark.parametrize("how", ["other", "torn", "smaller", "gone"])
def test_an_image_or_mask(toy: Toy, between: Between, kind: str, split: Split, how: str, tmp_path: Path) -> None:
    folder = getattr(toy, kind)
    file = folder / f"{ids(toy, split)[-1]}.png"
    train = folder / f"{ids(toy, 'train')[0]}.png"
    Image.new("L" if kind == "masks" else "RGB", (3, 5)).save(tmp_path / "small.png")
    other = {
        "other": train.read_bytes(),
        "torn": train.read_bytes()[:-30],
        "smaller": (tmp_path / "small.png").read_bytes(),
        "gone": None,
    }[how]
    said = check(toy, between, file, other)
    assert file.name in said or how == "gone"
    # How the masks are coded is found out first, and a torn one may be among those that tell it.
    assert "changed since the run was planned" in said or how == "gone" or (how, kind) == ("torn", "masks")


def test_one_that_a_worker_reads_late(toy: Toy, between: Between) -> None:
    file = toy.masks / f"{ids(toy, 'test')[-1]}.png"
    other = (toy.masks / f"{ids(toy, 'train')[0]}.png").read_bytes()
    check(toy, between, file, other, workers=2)


def test_a_base_map(toy: Toy, between: Between) -> None:
    file = toy.maps / f"{ids(toy, 'test')[0]}.png"
    said = check(toy, between, file, (toy.maps / f"{ids(toy, 'train')[0]}.png").read_bytes())
    assert f"it changed since the run was planned ({file})" in said


def test_a_base_map_while_the_maps_are_read(toy: Toy, between: Between, monkeypatch: pytest.MonkeyPatch) -> None:
    first, last = ids(toy, "test")[0], ids(toy, "test")[-1]
    assert first != last
    unchanged = Variant.check_unchanged

    def then_replaced(variant: Variant) -> None:
        unchanged(variant)
        if variant.kind == "base":
            write_map(toy.maps / f"{last}.png", np.zeros((24, 20), np.float32))

    with monkeypatch.context() as patched:
        patched.setattr(Variant, "check_unchanged", then_replaced)
        with pytest.raises(UserError, match=rf"changed since .*{last}\.png"):
            run(toy, "store", refiner=["identity"])
    assert not list(Path("store").rglob("*.u16"))


def test_another_file_of_the_same_id(toy: Toy, between: Between) -> None:
    """A map that moves from PNG to NPY: the id is there, the file was not."""
    file = toy.maps / f"{ids(toy, 'test')[0]}.png"

    def move() -> None:
        file.unlink()
        np.save(file.with_suffix(".npy"), np.zeros((24, 20), np.float32))

    between(move)
    with pytest.raises(UserError, match=rf"\({toy.maps}/{file.stem}\.(npy|png)\): "):
        run(toy, "store")


def test_a_csv_that_says_otherwise_meanwhile_changes_nothing(toy: Toy, between: Between, tmp_path: Path) -> None:
    """A run goes by the rows that it was planned with; the next one by what the table says then."""
    table = tmp_path / "pairs.csv"
    lines = [f"images/disc{n}.png,masks/disc{n}.png,{'val' if n < 4 else 'test'}" for n in range(8)]
    table.write_text("\n".join(["image,mask,split", *lines]) + "\n")
    given = {"dataset": [f"folder[csv={table}]"]}
    calm = run(toy, "calm", **given)
    otherwise = "\n".join(["image,mask,split", *lines[:-1]]).replace("masks/disc6.png", "masks/disc9.png") + "\n"
    between(lambda: table.write_text(otherwise))
    assert_same(run(toy, "store", **given), calm)
    again = run(toy, "store", **given)
    assert not again.reused and all(len(frame) == 3 for frame in numbers(again))


def test_masks_that_are_coded_otherwise_meanwhile_change_nothing(toy: Toy, between: Between) -> None:
    """The folder's coding is told by its masks, those too that no split of the cell uses, when the run is planned."""
    used = {*ids(toy, "val"), *ids(toy, "test")}
    extra = [path for path in toy.masks.iterdir() if path.stem not in used]
    calm = run(toy, "calm")

    def soften() -> None:
        for path in extra:
            values = np.zeros((24, 20), np.uint8)
            values[:, 3:17] = np.arange(14) * 18 + 10
            Image.fromarray(values).save(path)

    between(soften)
    assert_same(run(toy, "store"), calm)


def test_weights_that_a_refiner_reads_at_its_first_map(
    toy: Toy, between: Between, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "site", "factor", FACTOR, "[bench.refiners]\nfactor = factor:Factor\n", monkeypatch)
    file = tmp_path / "factor.txt"
    file.write_text("0.5")
    said = check(toy, between, file, b"0.25", refiner=[f"factor[weights={file}]"])
    assert said == f"it changed since the run was planned ({file}): restore it, or run again"


def test_a_dataset_that_is_not_made_of_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toy: Toy, between: Between
) -> None:
    points = "[bench.datasets]\ndrawn = drawn_set:Source\n"
    install(tmp_path / "site", "drawn_set", DRAWN, points, monkeypatch)
    install(tmp_path / "other", "bright_base", BRIGHT, "[bench.bases]\nbright = bright_base:Bright\n", monkeypatch)
    level = tmp_path / "site" / "level.txt"
    level.write_text("3")
    said = check(toy, between, level, b"7", dataset=["drawn"], base=["bright"], refiner=["identity"])
    assert said == "it changed since the run was planned (drawn, test): restore it, or run again"
