"""Each promise of a contract broken by a class that keeps all the others, and `bench check` on what hangs or dies."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest

from bench.cli import main
from bench.conformance import check_base, check_dataset, check_metric, check_refiner
from bench.contracts import (
    AsksBase,
    BaseNetwork,
    Budget,
    Costed,
    Dataset,
    Described,
    Image,
    MapDataset,
    Mask,
    Metric,
    Oracle,
    PartialBase,
    ProbabilityMap,
    Refiner,
    Sample,
    SearchSpace,
    Span,
    Split,
    Tunable,
    UserError,
)
from bench.datasets.quickstart import Quickstart
from bench.datasets.subset import Subset
from bench.plugins.entry_points import Entry, defaults_of, hints_of
from bench.refiners.oracle import ImageOracle

CALLS = itertools.count()
MUCH: Any = "much"


class Good(Refiner):
    """Adds to the map."""

    search_space: ClassVar[SearchSpace] = {"plus": Span(0.0, 0.5)}
    cost = Budget(seconds=5.0, memory_mb=256)

    def __init__(self, *, plus: float = 0.1) -> None:
        if not 0 <= plus <= 1:
            raise UserError(f"plus={plus}", "good[plus=...]", "give a fraction")
        self.plus = plus

    def fit(self, val: MapDataset, workdir: Path) -> None:
        raise AssertionError("it learns nothing")

    def one(self, image: Image, probs: ProbabilityMap) -> ProbabilityMap:
        """The map of one image."""
        return np.minimum(probs + np.float32(self.plus), np.float32(1))

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        return [self.one(image, probs) for image, probs in zip(images, maps, strict=True)]


class Positional(Good):
    def __init__(self, plus: float = 0.1) -> None:
        super().__init__(plus=plus)


class Bare(Good):
    def __init__(self, *, plus: float = 0.1) -> None:
        super().__init__(plus=plus)


del Bare.__init__.__annotations__["plus"]


class WrongDefault(Good):
    def __init__(self, *, plus: float = MUCH) -> None:
        super().__init__()


class Undeclared(Good):
    trainable: Any = 1


class HalfOracle(Good):
    uses_ground_truth = True


class StrangeSpace(Good):
    search_space: ClassVar[SearchSpace] = {"minus": Span(0.0, 0.5)}


class WideSpace(Good):
    search_space: ClassVar[SearchSpace] = {"plus": Span(0.0, 2.0)}


class Complains(Good):
    def __init__(self, *, plus: float = 0.1) -> None:
        if np.isnan(plus):
            raise ZeroDivisionError


class Double(Good):
    def one(self, image: Image, probs: ProbabilityMap) -> Any:
        return super().one(image, probs).astype(np.float64)


class Beyond(Good):
    def one(self, image: Image, probs: ProbabilityMap) -> ProbabilityMap:
        return probs + np.float32(0.5)


class NanWhereConstant(Good):
    def one(self, image: Image, probs: ProbabilityMap) -> ProbabilityMap:
        return probs * (np.float32(0.5) if image.std() else np.float32(np.nan))


class EvenOnly(Good):
    def one(self, image: Image, probs: ProbabilityMap) -> ProbabilityMap:
        height, width = probs.shape
        return probs[: height // 2 * 2, : width // 2 * 2].copy()


class NeedsTwoRows(Good):
    def one(self, image: Image, probs: ProbabilityMap) -> ProbabilityMap:
        return np.clip(np.gradient(probs, axis=0), 0, 1).astype(np.float32)


class FirstOnly(Good):
    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        return [np.full_like(probs, maps[0].mean()) for probs in maps]


class Random(Good):
    def one(self, image: Image, probs: ProbabilityMap) -> ProbabilityMap:
        return np.random.default_rng().random(probs.shape, np.float32)


class OtherEachTime(Good):
    def __init__(self, *, plus: float = 0.1) -> None:
        super().__init__(plus=0.001 * (next(CALLS) % 500))


class Writes(Good):
    def one(self, image: Image, probs: ProbabilityMap) -> ProbabilityMap:
        if probs.flags.writeable:
            probs[:] = 0.2
        return probs.copy()


class WantsToWrite(Good):
    def one(self, image: Image, probs: ProbabilityMap) -> ProbabilityMap:
        image[:0] = 0
        return probs.copy()


class Hands(Good):
    def one(self, image: Image, probs: ProbabilityMap) -> ProbabilityMap:
        return probs


class Unpicklable(Good):
    def __init__(self, *, plus: float = 0.1) -> None:
        super().__init__(plus=plus)
        self.function: Callable[[], None] = lambda: None


class Slow(Good):
    cost = Budget(seconds=0.05, memory_mb=256)

    def one(self, image: Image, probs: ProbabilityMap) -> ProbabilityMap:
        time.sleep(0.1 if probs.size > 10**5 else 0)
        return probs.copy()


class Large(Good):
    cost = Budget(seconds=5.0, memory_mb=32)

    def one(self, image: Image, probs: ProbabilityMap) -> ProbabilityMap:
        np.ones((64 if probs.size > 10**5 else 1) * 2**17)  # 64 MiB
        return probs.copy()


class Forgets(Good):
    """Learns another offset at each fit."""

    trainable = True

    def fit(self, val: MapDataset, workdir: Path) -> None:
        self.plus = 0.001 * (1 + next(CALLS) % 400)


def failures(check: Callable[..., Any], factory: type, **parameters: Any) -> list[str]:
    with pytest.raises(AssertionError) as raised:
        check(factory, **parameters)
    first, *lines = str(raised.value).splitlines()
    assert first == f"{factory.__name__} does not keep the contract:"
    return lines


def test_a_good_refiner_gets_a_line_for_each_check_and_no_fault() -> None:
    lines = check_refiner(Good)
    found = {line.what: line for line in lines}
    assert {line.status for line in lines} <= {"ok", "note"}
    assert found["parameters"].detail == "plus"
    assert found["search space"].status == "ok"
    assert found["decision on hard maps"].status == "ok"  # 0.1 changes neither decision
    assert "declared 5 s and 256 MiB" in found["cost"].detail


def test_what_is_allowed_and_worth_knowing_is_a_note() -> None:
    notes = {line.what: line.detail for line in check_refiner(Good, plus=0.6) if line.status == "note"}
    assert notes["decision on hard maps"] == "changes 100% of an empty map"
    assert notes["cost"].endswith("for the default parameters")


@pytest.mark.parametrize(
    ("factory", "what", "says"),
    [
        (Positional, "parameters", "not keyword-only"),
        (Bare, "parameters", "no annotation"),
        (WrongDefault, "parameters", "plus='much'"),
        (Undeclared, "declarations", "trainable is 1"),
        (HalfOracle, "declarations", "belong together"),
        (StrangeSpace, "search space", "'minus'"),
        (WideSpace, "search space", "{'plus': 2.0}"),
        (Complains, "wrong values", "ZeroDivisionError"),
        (Double, "ordinary image", "float64"),
        (Beyond, "ordinary image", "a map with values"),
        (NanWhereConstant, "constant image", "NaN"),
        (EvenOnly, "odd size", "(32, 46)"),
        (NeedsTwoRows, "one row", "ValueError"),
        (FirstOnly, "several at once", "one at a time"),
        (Random, "same call twice", "the second time"),
        (OtherEachTime, "another instance", "same seed"),
        (Writes, "inputs unchanged", "probs"),
        (WantsToWrite, "read-only inputs", "read-only"),
        (Hands, "inputs unchanged", "not a new one"),
        (Unpicklable, "pickling", "pickle"),
        (Slow, "cost", "declared 0.05 s"),
        (Large, "cost", "and 32 MiB"),
        (Forgets, "fit again", "another map"),
    ],
)
def test_a_refiner_that_breaks_its_contract_is_told_where(factory: type, what: str, says: str) -> None:
    lines = [line for line in failures(check_refiner, factory) if what in line]
    assert len(lines) == 1 and lines[0].startswith(f"FAIL  {what}") and says in lines[0]


def test_a_fault_in_the_code_is_told_with_its_line() -> None:
    (line,) = [line for line in failures(check_refiner, NeedsTwoRows) if "one row" in line]
    assert "conformance/test_conformance.py, line " in line


class Copies(Refiner):
    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        return [probs.copy() for probs in maps]


def test_what_derives_from_its_contract_has_the_defaults_and_no_parameters() -> None:
    for _ in range(2):  # before and after one was made
        found = {line.what: line.detail for line in check_refiner(Copies)}
        assert found["parameters"] == "none" and found["requirements"] == "none beyond the core install"
        assert found["declarations"] == "learns nothing" and found["fit"] == "nothing to learn"
        assert found["docstring"].startswith("none")
    assert not isinstance(Copies(), Oracle)
    assert Copies.version == 1 and Copies.extra == ""


class Alone:
    """Derives from nothing, so it brings everything."""

    requires: tuple[str, ...] = ()
    extra = ""
    version = 1
    trainable = False
    uses_ground_truth = False

    def fit(self, val: MapDataset, workdir: Path) -> None:
        raise AssertionError("it learns nothing")

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        return [probs.copy() for probs in maps]


def test_what_derives_from_nothing_works_where_it_brings_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    refiner: Refiner = Alone()  # to a type checker too
    assert {line.status for line in check_refiner(type(refiner))} <= {"ok", "note"}
    monkeypatch.delattr(Alone, "extra")
    (line,) = [line for line in failures(check_refiner, Alone) if "requirements" in line]
    assert "the class has no extra" in line


class Incomplete(Refiner):
    """Does not refine."""


def test_what_a_contract_has_no_default_for_must_be_written() -> None:
    assert any("abstract method refine" in line for line in failures(check_refiner, Incomplete))


class Asking(Good):
    """The mean of the base's maps of the image and of its mirror image."""

    base: Callable[[Sequence[Image]], list[ProbabilityMap]]

    def ask(self, base: Callable[[Sequence[Image]], list[ProbabilityMap]]) -> None:
        self.base = base

    def one(self, image: Image, probs: ProbabilityMap) -> ProbabilityMap:
        return (probs + self.base([image[:, ::-1]])[0][:, ::-1]) / np.float32(2)


class Knowing(Good):
    """The mask as the map."""

    uses_ground_truth = True

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        raise AssertionError("an oracle is told the masks")

    def refine_knowing(
        self, images: Sequence[Image], maps: Sequence[ProbabilityMap], masks: Sequence[Mask]
    ) -> list[ProbabilityMap]:
        return [mask.astype(np.float32) for mask in masks]


class Derived(Oracle):
    def refine_knowing(
        self, images: Sequence[Image], maps: Sequence[ProbabilityMap], masks: Sequence[Mask]
    ) -> list[ProbabilityMap]:
        return [mask.astype(np.float32) for mask in masks]


@pytest.mark.parametrize("factory", [Asking, Knowing, Derived])
def test_refiners_that_ask_and_oracles_are_called_as_a_run_calls_them(factory: type) -> None:
    check_refiner(factory)


class Bright(BaseNetwork):
    """Foreground where it is brighter than the images of train were."""

    trainable = True
    level = 0.0

    def fit(self, train: Dataset, val: Dataset, workdir: Path) -> None:
        self.level = float(np.mean([train[index].image.mean() for index in range(len(train))]))

    def predict(self, samples: Sequence[Sample]) -> list[ProbabilityMap]:
        return [(sample.image.mean(axis=2) > self.level).astype(np.float32) for sample in samples]


class Peeks(Bright):
    def predict(self, samples: Sequence[Sample]) -> list[ProbabilityMap]:
        return [sample.mask.astype(np.float32) for sample in samples]


def test_a_base_must_not_look_at_the_mask() -> None:
    check_base(Bright)
    (line,) = failures(check_base, Peeks)
    assert "blind to the mask" in line


class Covering(Bright):
    """Has maps of its own samples alone."""

    trainable = False
    missing: ClassVar[list[str] | None] = []

    def covered(self, ids: Sequence[str]) -> list[str]:
        if self.missing is None:
            raise UserError("2 of 2 samples have no map", "maps", "add them")
        return self.missing


class Inventing(Covering):
    missing: ClassVar[list[str] | None] = ["another"]


class Strict(Covering):
    missing: ClassVar[list[str] | None] = None


@pytest.mark.parametrize("factory", [Covering, Strict])
def test_a_base_with_maps_of_its_own_samples_alone_is_told_that_none_was_checked(factory: type) -> None:
    (note,) = [line for line in check_base(factory) if line.status == "note"]
    assert note.what == "covered" and "none was checked" in note.detail


class Parted(Bright):
    """Gives the maps of a part upside down, or names a file of which there is none."""

    trainable, level = False, 100.0

    def __init__(self, *, wrong: str = "", upside_down: bool = False) -> None:
        super().__init__()
        self.wrong, self.upside_down = wrong, upside_down

    def of_samples(self, ids: Sequence[str]) -> tuple[BaseNetwork, Sequence[Path]]:
        files = [Path("absent.png")] if self.wrong == "file" else [Path(__file__)]
        return type(self)(upside_down=self.wrong == "map"), files

    def predict(self, samples: Sequence[Sample]) -> list[ProbabilityMap]:
        return [probs[::-1].copy() if self.upside_down else probs for probs in super().predict(samples)]


def test_a_part_of_a_base_gives_the_maps_of_the_whole() -> None:
    assert {line.what for line in check_base(Parted)} >= {"a sample's part"}
    for wrong, said in (("map", "gives another map"), ("file", "names what is no file: absent.png")):
        (line,) = failures(check_base, Parted, wrong=wrong)
        assert "a sample's part" in line and said in line


def test_a_base_must_not_cover_what_it_was_not_asked_for() -> None:
    (line,) = failures(check_base, Inventing)
    assert "covered" in line and "another" in line


class Drawn(Quickstart):
    def __init__(self, *, root: Path, train: int = 3, val: int = 2, test: int = 2) -> None:
        super().__init__(root=root, size=32, train=train, val=val, test=test)


class Leaking(Drawn):
    """Two samples of train are in val too."""

    def split(self, split: Split) -> Any:
        whole = super().split("train" if split == "val" else split)
        part = Subset(whole, whole.ids[:2]) if split == "val" else whole
        part.split = split
        return part


class Greyscale(Drawn):
    def split(self, split: Split) -> Any:
        class Grey(Subset):
            def __getitem__(self, index: int, /) -> Sample:
                sample = super().__getitem__(index)
                return Sample(sample.id, sample.image[..., 0], sample.mask)

        whole = super().split(split)
        return Grey(whole, whole.ids)


class Unsteady(Drawn):
    def split(self, split: Split) -> Any:
        class Changing(Subset):
            def fingerprint(self) -> str:
                return f"{next(CALLS):x}"

        whole = super().split(split)
        return Changing(whole, whole.ids)


class Eager(Drawn):
    def __init__(self, *, root: Path) -> None:
        super().__init__(root=root)
        self.names = list(root.iterdir())


class Broken(Drawn):
    def verify(self) -> Any:
        return ["all well"]


def test_a_good_dataset(tmp_path: Path) -> None:
    assert {line.status for line in check_dataset(Drawn, root=tmp_path)} == {"ok"}
    notes = [line.detail for line in check_dataset(Drawn, root=tmp_path, train=0) if line.status == "note"]
    assert notes == ["0 train, 2 val, 2 test: what needs train cannot run on it"]


@pytest.mark.parametrize(
    ("factory", "what", "says"),
    [
        (Leaking, "ids", "'train-0000' is in train, and once more in val"),
        (Greyscale, "samples", "uint8 (32, 32)"),
        (Unsteady, "fingerprint", "another one each time"),
        (Eager, "construction", "FileNotFoundError"),
        (Broken, "verify", "Finding"),
    ],
)
def test_a_dataset_that_breaks_its_contract_is_told_where(factory: type, what: str, says: str, tmp_path: Path) -> None:
    (line,) = failures(check_dataset, factory, root=tmp_path)
    assert line.startswith(f"FAIL  {what}") and says in line


class Precision(Metric):
    """Share of the found pixels that are foreground."""

    title, meaning, scale, digits = "Precision", "Share of found pixels that are right", 100.0, 1
    better: Literal["higher", "lower"] = "higher"

    def __call__(self, probs: ProbabilityMap, mask: Mask) -> float:
        found = probs >= 0.5
        return float(mask[found].mean()) if found.any() else float("nan")


class Reversed(Precision):
    better = "lower"


class Infinite(Precision):
    def __call__(self, probs: ProbabilityMap, mask: Mask) -> float:
        return super().__call__(probs, mask) if (probs >= 0.5).any() else float("inf")


class Nameless(Precision):
    title = ""


class Texts(Precision):
    def __call__(self, probs: ProbabilityMap, mask: Mask) -> Any:
        return str(super().__call__(probs, mask))


class PrecisionCurve(Precision):
    curve = 3

    def __call__(self, probs: ProbabilityMap, mask: Mask) -> Any:
        return np.array([mask[probs >= at].mean() if (probs >= at).any() else np.nan for at in (0.2, 0.5, 0.8)])


class Short(PrecisionCurve):
    curve = 4


class Unsummed(PrecisionCurve):
    summary: Any = "median"


def test_a_good_curve_passes() -> None:
    lines = {line.what: line for line in check_metric(PrecisionCurve)}
    assert {line.status for line in lines.values()} == {"ok"}
    assert "a curve of 3, of which tables show: mean" in lines["declarations"].detail
    assert lines["which end is good"].detail == "perfect 1.0000, inverted 0.0000, and higher is better"


def test_a_good_metric_may_be_undefined() -> None:
    lines = {line.what: line for line in check_metric(Precision)}
    assert {line.status for line in lines.values()} == {"ok"}
    assert "empty map" in lines["hard cases"].detail
    assert lines["which end is good"].detail == "perfect 1.0000, inverted 0.0000, and higher is better"


@pytest.mark.parametrize(
    ("factory", "what", "says"),
    [
        (Reversed, "which end is good", "lower is better"),
        (Infinite, "hard cases", "inf"),
        (Nameless, "declarations", "title"),
        (Texts, "ordinary map", "str"),
        (Short, "ordinary map", "must return a numpy vector of 4 floats"),
        (Unsummed, "declarations", "summary is 'median'"),
    ],
)
def test_a_metric_that_breaks_its_contract_is_told_where(factory: type, what: str, says: str) -> None:
    (line,) = [line for line in failures(check_metric, factory) if what in line]
    assert says in line


def derived_refiner() -> type:
    """A class of its own for each test: the first instance changes what typing made of its constructor."""

    class Copies(Refiner):
        def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
            return [probs.copy() for probs in maps]

    # A class in a function cannot be pickled by its name.
    Copies.__qualname__ = "Copies"
    globals()["Copies"] = Copies
    return Copies


@dataclass(kw_only=True)
class Grey(BaseNetwork):
    """The same value everywhere."""

    level: float = 0.5

    def predict(self, samples: Sequence[Sample]) -> list[ProbabilityMap]:
        return [np.full(sample.image.shape[:2], self.level, np.float32) for sample in samples]


class Area(Metric):
    """Share of the image that was found."""

    title, meaning, better, scale, digits = "Area", "Share of the image that is found", "higher", 100.0, 1

    def __call__(self, probs: ProbabilityMap, mask: Mask) -> float:
        return float(1 - np.mean((probs >= 0.5) ^ mask))


def test_what_derives_from_its_contract_says_only_what_differs(tmp_path: Path) -> None:
    factory = derived_refiner()
    for _ in range(2):  # before and after the first instance
        assert defaults_of(Entry("refiner", "copies", factory)) == {} == hints_of(factory)
        lines = {line.what: line for line in check_refiner(factory)}
        assert lines["parameters"].detail == "none" and lines["requirements"].status == "ok"
    assert {line.status for line in check_base(Grey)} <= {"ok", "note"}
    assert list(defaults_of(Entry("base", "grey", Grey))) == ["level"]
    assert {line.status for line in check_metric(Area)} == {"ok"}


def test_a_class_without_a_docstring_does_not_show_that_of_its_contract() -> None:
    assert {line.what: line.status for line in check_refiner(derived_refiner())}["docstring"] == "note"


def test_deriving_from_a_contract_adds_no_ability() -> None:
    refiner = derived_refiner()()
    assert not any(isinstance(refiner, ability) for ability in (Oracle, AsksBase, Tunable, Costed))
    assert not any(isinstance(Grey(), ability) for ability in (Described, PartialBase))
    assert isinstance(ImageOracle(), Oracle) and isinstance(Knowing(), Oracle) and not isinstance(Good(), Oracle)
    assert isinstance(Asking(), AsksBase) and not isinstance(ImageOracle(), AsksBase)


def lacking(name: str) -> type:
    """`Good` without an attribute; it derives from nothing, so that nothing stands in."""
    given = {
        key: getattr(Refiner, key) for key in ("requires", "extra", "version", "trainable", "uses_ground_truth", "fit")
    }
    members = {**given, **vars(Good)}
    return type("Lacking", (), {key: members[key] for key in members if key not in (name, "__dict__", "__weakref__")})


class NoRefine(Refiner):
    """Does nothing."""


class Untitled(Metric):
    """Says nothing of its column."""

    def __call__(self, probs: ProbabilityMap, mask: Mask) -> float:
        return 0.0


@pytest.mark.parametrize(
    ("check", "factory", "what", "says"),
    [
        (check_refiner, lacking("requires"), "requirements", "no requires"),
        (check_refiner, lacking("extra"), "requirements", "no extra"),
        (check_refiner, lacking("version"), "requirements", "no version"),
        (check_refiner, lacking("trainable"), "declarations", "no trainable"),
        (check_refiner, lacking("uses_ground_truth"), "declarations", "no uses_ground_truth"),
        (check_refiner, NoRefine, "construction", "abstract"),
        (check_metric, Untitled, "declarations", "no title"),
    ],
)
def test_what_is_lacking_is_told(check: Callable[..., Any], factory: type, what: str, says: str) -> None:
    lines = [line for line in failures(check, factory) if what in line]
    assert len(lines) == 1 and says in lines[0]


@pytest.mark.usefixtures("plugins")
def test_the_command_reports_a_line_a_check_and_ends_with_one_error(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "identity", "half[wrong=shape]"]) == 2
    out, err = capfd.readouterr()
    first, second = out.split("refiner half[wrong=shape]:\n")
    assert first.startswith("refiner identity:\n  ok    import") and "FAIL" not in first
    assert "FAIL  parameters" not in second and "FAIL  ordinary image" in second and "(63, 48)" in second
    assert err.count("\n") == 1 and "1 of " in err and err.startswith("bench: error: ")


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "half[wrong=dies]",
            "FAIL  ordinary image              the process that ran this check: ended with exit code 9 and no result",
        ),
        ("half[wrong=raises]", "raises ZeroDivisionError: a defect of the plug-in (site/toy_plugins.py, line "),
        ("half[wrnog=shape]", "did you mean 'wrong'?"),
        ("needy", "pip install refinebench[densecrf]"),
        ("broken", "FAIL  import                      broken: RuntimeError: written in a hurry"),
    ],
)
def test_nothing_that_a_plug_in_does_ends_the_command(name: str, says: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["check", name]) == 2
    assert says in capfd.readouterr().out


def test_a_check_that_takes_too_long_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    info = tmp_path / "sleepy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sleepy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bench.metrics]\nsleepy = sleepy:Sleepy\n")
    (tmp_path / "sleepy.py").write_text("import time\nclass Sleepy:\n    def __init__(self): time.sleep(600)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    begin = time.monotonic()
    assert main(["check", "sleepy", "--timeout", "5"]) == 2
    out = capfd.readouterr().out
    assert "FAIL  construction" in out and "no answer within 5 s" in out and time.monotonic() - begin < 60


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["densecfr"], "did you mean 'densecrf'?"),
        (["densecrf", "--kind", "base"], "no such base 'densecrf'"),
    ],
)
def test_a_name_that_is_none(arguments: list[str], says: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["check", *arguments]) == 2
    out, err = capfd.readouterr()
    assert says in out + err


def test_a_name_of_two_kinds_is_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench.toml").write_text('[variants.base]\nidentity = "unet[epochs=1]"\n')
    assert main(["check", "identity"]) == 2
    assert "'identity' is a base and a refiner" in capfd.readouterr().err
    assert main(["check", "identity", "--kind", "refiner"]) == 0
