"""A refiner that takes another one: ``nest[refiner=prn[size=96]]``, wherever a refiner is named."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bench
from bench.cli import main
from bench.config import Settings, load
from bench.conformance import check_refiner
from bench.contracts import UserError
from bench.execution.contamination import seen
from bench.images import read_map
from bench.plugins.spec import parse
from bench.plugins.variants import DEEPEST, Variant, resolve
from bench.registry import load_refiner
from bench.reports.formats.terminal import fitted
from bench.reports.selection import told_apart
from bench.store import Store
from tests.bench.conftest import Toy, install

NESTING = """
import os
import sys
import time
from pathlib import Path

import numpy as np

from bench.contracts import Budget, Refiner, Span, UserError


class Nest(Refiner):
    \"\"\"Leaves alone what is far from one half, and refines the rest.\"\"\"

    search_space = {"width": Span(0.1, 0.5)}
    cost = Budget(seconds=5, memory_mb=500)

    def __init__(self, *, refiner: Refiner, width: float = 0.5, device: str = "cpu", seed: int = 0):
        if not 0 <= width <= 0.5:
            raise UserError(f"width={width}", "nest[...]", "give 0 to 0.5")
        self.refiner, self.width, self.given = refiner, width, (device, seed)
        self.trainable = refiner.trainable

    def fit(self, val, workdir):
        self.refiner.fit(val, workdir / "refiner")

    def refine(self, images, maps):
        refined = self.refiner.refine(images, maps)
        return [np.where(np.abs(p - 0.5) <= self.width, r, p) for p, r in zip(maps, refined)]


class Shift(Refiner):
    \"\"\"Adds a number to the map, and knows what it was given.\"\"\"

    search_space = {"amount": Span(-0.5, 0.5)}
    trained_on = ("ECSSD",)

    def __init__(self, *, amount: float = 0.0, table: Path | None = None, device: str = "cpu", seed: int = 0):
        if amount == 9:
            sys.exit("no")
        self.amount, self.given = amount, (device, seed)

    def refine(self, images, maps):
        return [np.clip(probs + np.float32(self.amount), 0, 1).astype(np.float32) for probs in maps]


class Learner(Shift):
    \"\"\"Takes its time to learn nothing.\"\"\"

    trainable = True

    def fit(self, val, workdir):
        if not (workdir / "deep" / "learned.txt").is_file():
            (workdir / "deep").mkdir(parents=True, exist_ok=True)
            time.sleep(0.3)
            (workdir / "deep" / "learned.txt").write_text(str(time.time_ns()))


class Perhaps(Nest):
    \"\"\"Can do without one.\"\"\"

    search_space = {}

    def __init__(self, *, refiner: Refiner | None = None):
        self.refiner = refiner
        self.trainable = refiner is not None and refiner.trainable

    def refine(self, images, maps):
        return [probs.copy() for probs in maps] if self.refiner is None else self.refiner.refine(images, maps)


class Knowing(Shift):
    \"\"\"An oracle, if it is told to be one.\"\"\"

    def __init__(self, *, knows: bool = False):
        super().__init__()
        self.uses_ground_truth = knows


class Wrong(Refiner):
    \"\"\"Its default is no name.\"\"\"

    def __init__(self, *, refiner: Refiner = Shift()):
        self.refiner = refiner

    def refine(self, images, maps):
        return self.refiner.refine(images, maps)
"""

CLASSES = ("Nest", "Shift", "Learner", "Perhaps", "Knowing", "Wrong")

ALIASES = """
[variants.refiner]
strong = "shift[amount=0.25]"
both = "nest[refiner=strong]"
loop = "nest[refiner=other]"
other = "perhaps[refiner=loop]"
pair = "nest[refiner=pair[refiner=strong]]"
"""


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = "".join(f"{name.lower()} = toy_nesting:{name}\n" for name in CLASSES)
    install(tmp_path / "site", "toy_nesting", NESTING, f"[bench.refiners]\n{names}", monkeypatch)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench.toml").write_text(ALIASES)


@pytest.fixture
def settings(_installed: None) -> Settings:
    return load()


values = st.recursive(
    st.from_regex(r"[A-Za-z0-9_./-]{1,6}", fullmatch=True)
    | st.sampled_from(["[1,[2,3]]", '"a,b]"', "'[c'", '"d\\"[,e"', "[ 'f]', 1 ]"]),
    lambda inner: st.builds(
        lambda name, items: f"{name}[{','.join(f'{key}={value}' for key, value in items)}]",
        st.from_regex(r"[a-z-]{1,5}", fullmatch=True),
        st.lists(st.tuples(st.from_regex(r"[a-z]{1,4}", fullmatch=True), inner), max_size=3),
    ),
    max_leaves=12,
)


@given(st.lists(values, max_size=4))
def test_specs_are_read_and_written_alike_at_any_depth(inside: list[str]) -> None:
    spec = parse(f"nest[{','.join(f'k{index}={value}' for index, value in enumerate(inside))}]", "--refiner")
    assert [part.partition("=")[2] for part in spec.parts] == inside
    assert parse(str(spec), "--refiner") == spec
    for index, value in enumerate(inside):
        if value[0] not in "[\"'":
            assert spec.parameters[f"k{index}"] == value
            assert str(parse(value, "--refiner")).removesuffix("[]") == value.removesuffix("[]")


@given(st.text(alphabet="ab=,[]\"' \\\n", max_size=30))
def test_whatever_is_written_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        spec = parse(text, "--refiner")
    except UserError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert parse(str(spec), "--refiner") == spec


def test_it_gets_the_refiner_made_with_the_same_device_and_seed() -> None:
    outer = load_refiner("nest[refiner=nest[refiner=shift[amount=0.25],width=0.2]]", seed=7)
    inner: object = outer.refiner.refiner  # type: ignore[attr-defined]
    assert [outer.given, outer.refiner.given, inner.given] == [("cpu", 7)] * 3  # type: ignore[attr-defined]
    maps = [np.array([[0.0, 0.4, 0.6]], np.float32)]
    (refined,) = outer.refine([np.zeros((1, 3, 3), np.uint8)], maps)
    np.testing.assert_allclose(refined, [[0.0, 0.65, 0.85]], atol=1e-6)
    assert load_refiner("perhaps").refiner is None  # type: ignore[attr-defined]


def test_its_names(settings: Settings) -> None:
    def label(spec: str) -> str:
        return resolve("refiner", spec, settings).label

    assert label(" nest[ refiner = shift[ amount = 0.5 ], width=0.5 ]") == "nest[refiner=shift[amount=0.5]]"
    assert label('nest[refiner="shift[amount=0.5]"]') == "nest[refiner=shift[amount=0.5]]"
    assert label("nest[refiner=strong]") == "nest[refiner=strong]"
    assert label("both") == "both" and label("both[refiner=shift]") == "both[refiner=shift]"
    assert label("nest[refiner=both,width=0.25]") == "nest[refiner=both,width=0.25]"
    assert label("pair") == "pair" and resolve("refiner", "pair", settings).nested["refiner"].label == (
        "pair[refiner=strong]"
    )
    assert resolve("refiner", "both[width=0.1]", settings).spec == "both[width=0.1]"


def test_the_same_refiner_is_the_same_however_it_is_called(settings: Settings, tmp_path: Path) -> None:
    def identity(spec: str) -> str:
        return json.dumps(resolve("refiner", spec, settings).identity, sort_keys=True)

    same = ["both", "nest[refiner=strong]", "nest[refiner=shift[amount=0.250]]", 'nest[refiner="strong",width=0.5]']
    assert len({identity(spec) for spec in same}) == 1
    assert identity("nest[refiner=shift]") != identity("both") != identity("nest[refiner=shift[amount=0.3]]")
    for folder, text in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "table").write_text(text)
    a, b, c = (identity(f"nest[refiner=shift[table={tmp_path / folder / 'table'}]]") for folder in "abc")
    assert a == b != c


def test_a_version_of_the_inner_class_counts(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    before = resolve("refiner", "both", settings)
    assert before.identity["parameters"]["refiner"]["version"] == 1
    monkeypatch.setattr(before.nested["refiner"].entry.factory, "version", 2)
    assert resolve("refiner", "both", settings).identity != before.identity


def test_files_inside_are_watched(settings: Settings, tmp_path: Path) -> None:
    table = tmp_path / "table"
    table.write_text("1")
    variant = resolve("refiner", f"nest[refiner=nest[refiner=shift[table={table}]]]", settings)
    assert list(variant.files) == [table] and variant.identity
    variant.check_unchanged()
    sent: Variant = pickle.loads(pickle.dumps(variant))
    assert sent.identity == variant.identity
    table.write_text("2")
    for one in (variant, sent):
        with pytest.raises(UserError, match="table"):
            one.check_unchanged()


def test_paths_inside_are_told_apart(settings: Settings, tmp_path: Path) -> None:
    names = []
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "t").write_text(folder)
        names.append(resolve("refiner", f"nest[refiner=shift[table={tmp_path / folder / 't'}]]", settings).name)
    assert [*told_apart(names).values()] == [f"nest[refiner=shift[table={folder}/t]]" for folder in "ab"]
    assert {name.label() for name in names} == {"nest[refiner=shift[table=t]]"}


def test_a_short_name_keeps_its_brackets() -> None:
    names = [f"nest[refiner=prn[size=256,epochs={epochs}],width=0.25]" for epochs in (10, 20)]
    assert [*fitted(names, 42).values()] == [f"nest[refiner=prn[size=256,epochs={n}],..]" for n in (10, 20)]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("nest", r"needs 'refiner' (--refiner): write nest[refiner=...]"),
        ("nest[refiner=shfit]", "no such refiner 'shfit' (--refiner nest[refiner=shfit]): did you mean 'shift'?"),
        (
            "nest[refiner=nest[refiner=shift[amout=1]]]",
            "no parameter 'amout' (--refiner nest[refiner=nest[refiner=shift[amout=1]]]): did you mean 'amount'?",
        ),
        ("nest[refiner=shift[amount=x]]", "wrong value amount=x (--refiner nest[refiner=shift[amount=x]])"),
        ("nest[refiner=shift[table=/no/such]]", "no such file or folder for table (/no/such)"),
        ("nest[refiner=[1]]", "wrong value refiner=[1] (--refiner): refiner must be the name of a refiner"),
        ("nest[refiner=shift[amount=1]", "cannot read"),
        ("nest[refiner=shift]]", "cannot read 'shift]' (--refiner nest[refiner=shift]])"),
        (
            "nest[refiner=oracle-image]",
            "oracle-image sees the ground truth (--refiner nest[refiner=oracle-image]): name a refiner that does not",
        ),
        ("nest[refiner=test-time-flip]", "test-time-flip asks the base for maps"),
        ("loop", "refiner= of 'loop' leads back to itself (variants.refiner.loop): name another refiner there"),
        ("nest[refiner=" * (DEEPEST + 1) + "shift" + "]" * (DEEPEST + 1), "refiners in one another"),
        ("nest[refiner=" * 300 + "shift" + "]" * 300, "refiners in one another"),
        ("wrong", "refiner must be the name of a refiner"),
    ],
)
def test_what_cannot_stand_there_is_told_in_one_line(settings: Settings, spec: str, says: str) -> None:
    with pytest.raises(UserError) as raised:
        resolve("refiner", spec, settings)
    assert says in str(raised.value) and len(str(raised.value).splitlines()) == 1


def test_an_oracle_that_only_the_instance_knows_of_is_refused(settings: Settings) -> None:
    load_refiner("nest[refiner=knowing]")
    with pytest.raises(UserError, match=r"sees the ground truth \(--refiner nest\[refiner=knowing"):
        load_refiner("nest[refiner=knowing[knows=true]]")


def test_parameters_set_for_all_reach_inside_and_go_in_no_circle() -> None:
    inside = load(None, ["shift.amount=0.125"])
    assert resolve("refiner", "nest[refiner=shift]", inside).nested["refiner"].parameters["amount"] == 0.125
    given = resolve("refiner", "nest", load(None, ["nest.refiner=shift[amount=0.5]"]))
    assert given.label == "nest[refiner=shift[amount=0.5]]"
    with pytest.raises(UserError, match=r"leads back to itself \(--set or \[parameters\]: nest\.refiner\)"):
        resolve("refiner", "nest", load(None, ["nest.refiner=perhaps[refiner=nest]"]))


def test_it_goes_to_another_process(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "variant.pickle"
    file.write_bytes(pickle.dumps(resolve("refiner", "both[refiner=shift[amount=0.5]]", settings)))
    code = (
        "import pathlib, pickle, sys; sys.path.insert(0, sys.argv[2]);"
        "made = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes()).make(device='cpu', seed=3);"
        "print(made.refiner.amount, made.refiner.given)"
    )
    command = [sys.executable, "-c", code, str(file), str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0.5 ('cpu', 3)"


def test_what_the_inner_weights_saw_counts(settings: Settings) -> None:
    variant = resolve("refiner", "perhaps[refiner=shift]", settings)
    assert seen(variant.make(), variant, settings) == {"ECSSD"}


def test_runs_store_it_reuse_it_and_report_it(toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"

    def run(*refiners: str) -> dict[str, str]:
        result = bench.run(
            dataset=[toy.dataset], base=[toy.base], refiner=refiners, store=store, engine="inline", seed=[0]
        )
        return {cell.manifest.refiner: cell.manifest.key for cell in result.cells}

    first = run("nest[refiner=threshold]", "nest[refiner=strong]", "shift[amount=0.25]")
    written = {manifest.key: manifest.written for manifest in Store(store).manifests()}
    again = run("nest[refiner=threshold]", "both", "nest[refiner=shift[amount=0.3]]")
    after = {manifest.key: manifest for manifest in Store(store).manifests()}
    assert first["nest[refiner=threshold]"] == again["nest[refiner=threshold]"]
    assert first["nest[refiner=strong]"] == again["both"]
    assert after.keys() - written.keys() == {again["nest[refiner=shift[amount=0.3]]"]}
    assert all(manifest.status == "done" for manifest in after.values())
    stored = after[first["nest[refiner=threshold]"]]
    assert stored.variant("refiner")["parameters"]["refiner"]["name"] == "threshold"
    assert stored.names["refiner"].nested["refiner"].name == "threshold"
    # One that always gives way to the inner refiner is that.
    scores = bench.load(store).records().groupby("refiner")["iou"].mean()
    assert scores["both"] == pytest.approx(scores["shift[amount=0.25]"])
    (trained,) = (path for path in (store / "refiners").iterdir() if (path / "refiner" / "threshold.json").is_file())
    capsys.readouterr()
    assert main(["report", "--store", str(store), "--wide"]) == 0
    shown = capsys.readouterr().out
    assert "nest[refiner=threshold]" in shown and "nest[refiner=shift[amount=0.3]]" in shown
    # What the run has learned serves elsewhere.
    out, spec = tmp_path / "out", "nest[refiner=threshold]"
    bench.refine(refiner=spec, checkpoint=trained, images=toy.images, maps=toy.maps, out=out)
    assert len([*out.glob("*.png")]) == 10
    with pytest.raises(UserError, match="is not trained"):
        bench.refine(refiner=spec, images=toy.images, maps=toy.maps, out=tmp_path / "other")


def test_what_a_cell_of_the_inner_one_has_learned_is_not_learned_again(toy: Toy, tmp_path: Path) -> None:
    def run(store: str, seed: int, *refiners: str) -> dict[str, float]:
        bench.run(
            dataset=[toy.dataset],
            base=[toy.base],
            refiner=refiners,
            seed=[seed],
            engine="inline",
            store=tmp_path / store,
        )
        table = bench.load(tmp_path / store).table()
        return dict(zip(table["refiner"], table["fit_seconds"], strict=True))

    def learned(store: str) -> set[str]:
        return {path.read_text() for path in (tmp_path / store / "refiners").rglob("learned.txt")}

    seconds = run("one", 0, "learner", "nest[refiner=learner]")
    assert len(learned("one")) == 1
    assert seconds["nest[refiner=learner]"] >= seconds["learner"] > 0.3  # the whole cost all the same
    run("one", 1, "nest[refiner=learner]")
    assert len(learned("one")) == 2  # another seed is another fit
    run("two", 0, "nest[refiner=learner]")
    assert len(learned("two")) == 1


def test_refine_takes_it(toy: Toy, tmp_path: Path) -> None:
    bench.refine(
        refiner="nest[refiner=shift[amount=0.1]]", images=toy.images, maps=toy.maps, out=tmp_path / "out", workers=1
    )
    for path in toy.maps.iterdir():
        expected = np.clip(read_map(path) + np.float32(0.1), 0, 1)
        np.testing.assert_allclose(read_map(tmp_path / "out" / path.name), expected, atol=1e-4)


def test_either_can_be_tuned(toy: Toy, tmp_path: Path, settings: Settings) -> None:
    store = tmp_path / "store"
    outer = resolve("refiner", "nest[refiner=shift[amount=0.25],tune=5]", settings)
    assert outer.search is not None and outer.search.space.keys() == {"width"}
    assert outer.label == "nest[refiner=shift[amount=0.25],tune=5]"
    found = bench.tune("nest[refiner=strong]", trials=4, dataset=toy.dataset, base=toy.base, store=store)
    assert found.parameters.keys() == {"width"} and found.fixed.startswith("nest[refiner=strong,width=")
    assert resolve("refiner", found.fixed, settings).parameters["width"] == found.parameters["width"]
    inner = "nest[refiner=shift[tune=4]]"
    result = bench.run(dataset=[toy.dataset], base=[toy.base], refiner=[inner], store=store, engine="inline")
    assert result.cells[-1].manifest.refiner == inner
    (tuned,) = store.glob("refiners/*/refiner/tuned.json")
    assert json.loads(tuned.read_text())["parameters"].keys() == {"amount"}
    assert outer.identity != resolve("refiner", inner, settings).identity


def test_it_is_checked_with_a_refiner_that_learns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "nest"]) == 0
    shown = capsys.readouterr().out
    assert "nest[refiner=threshold]" in shown and "default parameters" not in shown
    assert main(["check", "nest[refiner=strong]"]) == 0
    assert "nest[refiner=strong]" in capsys.readouterr().out
    assert main(["check", "wrong"]) == 2
    assert "the default of 'refiner' can be None alone" in capsys.readouterr().out


def test_its_own_tests_name_one() -> None:
    from toy_nesting import Nest, Perhaps  # type: ignore[import-not-found]

    for lines in (check_refiner(Nest), check_refiner(Nest, refiner="shift[amount=0.1]"), check_refiner(Perhaps)):
        assert {line.status for line in lines} <= {"ok", "note"}


def test_lists_say_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "refiners", "--verbose"]) == 0
    shown = capsys.readouterr().out
    assert "refiner = (required)" in shown and "refiner = None" in shown
