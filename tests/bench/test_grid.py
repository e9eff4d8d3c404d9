"""The options of a run: one list, checked alike from Python, from the command line and from bench.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import bench
from bench.cli import main
from bench.config import Grid, load
from bench.contracts import UserError

WRONG: list[tuple[str, Any, str]] = [
    ("engine", "dask", "'local', 'inline', 'ray' or 'slurm'"),
    ("protocol", ["Z"], "'A' or 'B'"),
    ("on_error", "sometimes", "'fail' or 'skip'"),
    ("device", "tpu", "'auto', 'cpu' or 'cuda'"),
    ("seed", [-1], "a whole number from 0 to 4294967295"),
    ("seed", ["one"], "a whole number from 0"),
    ("workers", -2, "a positive whole number"),
    ("limit", 0, "a positive whole number"),
    ("limit", "ten", "a positive whole number"),
    ("tune", 0, "a positive whole number"),
    ("epochs", 2.5, "a positive whole number"),
    ("objective", "dice", "'iou' or 'boundary_iou'"),
]
TYPED_WRONG: list[tuple[str, Any, str]] = [
    ("workers", True, "a positive whole number"),
    ("seed", [True], "a whole number"),
    ("dataset", [], "at least 1 item"),
    ("refiner", "prn", "a valid list"),
]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def option(key: str) -> str:
    return f"--{key.replace('_', '-')}"


@pytest.mark.parametrize(("key", "value", "fix"), WRONG + TYPED_WRONG)
def test_a_wrong_value_is_refused_from_python(key: str, value: Any, fix: str) -> None:
    given: dict[str, Any] = {key: value}
    with pytest.raises(UserError) as raised:
        bench.run(**given)
    assert str(raised.value).startswith("wrong value ")
    assert f"({option(key)}): it must be" in str(raised.value) and fix in str(raised.value)
    assert not Path("runs").exists()


@pytest.mark.parametrize(("key", "value", "fix"), WRONG)
def test_a_wrong_value_is_refused_on_the_command_line(
    key: str, value: Any, fix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = value[0] if isinstance(value, list) else value
    assert main(["run", f"{option(key)}={shown}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("bench: error: wrong value ") and f"({option(key)})" in line and fix in line
    assert not Path("runs").exists()


@pytest.mark.parametrize(("key", "value", "fix"), [case for case in WRONG if not isinstance(case[1], list)])
def test_a_wrong_value_is_refused_in_an_experiment(key: str, value: Any, fix: str, tmp_path: Path) -> None:
    file = tmp_path / "bench.toml"
    file.write_text(f"[experiments.mine]\n{key} = {value!r}\n")
    with pytest.raises(UserError) as raised:
        load()
    assert f"experiments.mine.{key}" in str(raised.value) and fix in str(raised.value)


@pytest.mark.parametrize(
    ("call", "option"),
    [
        (lambda: bench.predict(dataset="d", base="b", out=Path("o"), device="tpu"), "--device"),  # type: ignore[arg-type]
        (lambda: bench.predict(dataset="d", base="b", out=Path("o"), splits=["vall"]), "--split"),  # type: ignore[list-item]
        (lambda: bench.refine(refiner="r", images=Path(), maps=Path(), out=Path(), workers=0), "--workers"),
        (lambda: bench.train_base("b", dataset="d", seed=-1), "--seed"),
        (lambda: bench.train_base("b", dataset="d", protocol="C"), "--protocol"),  # type: ignore[arg-type]
        (lambda: bench.train_refiner("r", dataset="d", base="b", epochs=0), "--epochs"),
        (lambda: bench.tune("r", trials=0), "--trials"),
        (lambda: bench.tune("r", trials=3, objective="dice"), "--objective"),
    ],
)
def test_the_other_commands_check_theirs_alike(call: Any, option: str) -> None:
    with pytest.raises(UserError, match=rf"\({option}\)"):
        call()


def test_what_a_layer_leaves_out_comes_from_the_layer_below(tmp_path: Path) -> None:
    (tmp_path / "bench.toml").write_text(
        "[defaults]\nseed = [1]\nworkers = 2\nlimit = 9\n"
        '[experiments.both]\nparts = ["one", "two"]\nlimit = 5\ndevice = "cpu"\n'
        "[experiments.one]\nseed = [2]\n[experiments.two]\nlimit = 3\n"
        '[experiments.bad]\nparts = ["ray"]\n[experiments.ray]\nengine = "ray"\n'
    )
    settings = load()
    one, two = settings.grids("both", Grid.of(base=["unet"]))
    assert [(part.seed, part.limit, part.workers, part.device, part.base) for part in (one, two)] == [
        ([2], 5, 2, "cpu", ["unet"]),
        ([1], 3, 2, "cpu", ["unet"]),
    ]
    (plain,) = settings.grids(None, Grid.of(limit=4, seed=None))
    assert (plain.seed, plain.limit) == ([1], 4)
    with pytest.raises(UserError, match=r"'ray' sets engine, which a run has but once \(experiments\.bad\.parts\)"):
        settings.grids("bad", Grid())


@pytest.mark.parametrize(
    ("given", "fix"),
    [
        ("prm.size=96", "did you mean 'prn'?"),
        ("prn.sise=96", "did you mean 'size'?"),
        ("unet.encodr=resnet18", "did you mean 'encoder'?"),
        ("identity.tune=3", "there are none"),
        ("prn.size", "write NAME.PARAMETER=VALUE"),
    ],
)
@pytest.mark.parametrize("command", ["run", "report"])
def test_set_refuses_what_nothing_takes(command: str, given: str, fix: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("runs/default/cells").mkdir(parents=True)
    assert main([command, "--set", given]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--set" in line and fix in line


def test_set_may_tune_what_can_be_tuned() -> None:
    from bench.plugins.entry_points import check_parameters

    check_parameters(load(parameters=["prn.tune=3", "prn.size=96"]))
