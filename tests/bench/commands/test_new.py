"""What `bench new` writes: a package that works as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import main
from bench.config import KINDS
from tests.bench.packages import put_on_path
from tests.conftest import REPOSITORY


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def python(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *arguments], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_package_passes_its_own_tests_and_the_linter(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", kind, "my-own", "--out", "deep/down"]) == 0
    out = capsys.readouterr().out
    assert "deep/down/my-own/pyproject.toml" in out and "bench check my-own" in out
    package = Path("deep/down/my-own").resolve()
    assert sorted(path.name for path in package.parent.iterdir()) == ["my-own"]  # no temporary folder is left
    tested = python("pytest", "-q", "-p", "no:cacheprovider", folder=package)
    assert tested.returncode == 0 and "passed" in tested.stdout, tested.stdout
    for check in (("check",), ("format", "--check")):
        linted = python("ruff", *check, "--no-cache", ".", folder=package)
        assert linted.returncode == 0, linted.stdout


def test_its_linter_is_as_strict_as_ours() -> None:
    main(["new", "metric", "my-own"])
    ours, theirs = (path.read_text() for path in (REPOSITORY / "pyproject.toml", Path("my-own/pyproject.toml")))
    rules = [line for line in ours.splitlines() if line.startswith(("select = ", "line-length = "))]
    assert len(rules) == 2 and all(rule in theirs.splitlines() for rule in rules)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_package_is_typed(kind: str) -> None:
    main(["new", kind, "my-own"])
    typed = python("mypy", "--config-file", str(REPOSITORY / "pyproject.toml"), ".", folder=Path("my-own").resolve())
    assert typed.returncode == 0, typed.stdout


def test_once_installed_it_is_listed_checked_and_run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for kind, name in (("base", "brightness"), ("refiner", "sharpen")):
        assert main(["new", kind, name]) == 0
        put_on_path(Path(name).resolve(), monkeypatch)
    capfd.readouterr()
    assert main(["list", "refiners", "--verbose"]) == 0
    listed = capfd.readouterr().out
    assert "Sharpens the map: the odds of each pixel to the power of ``gain``." in listed and "gain = 2.0" in listed
    assert main(["check", "sharpen"]) == 0
    assert "FAIL" not in capfd.readouterr().out
    run = ["run", "--dataset", "quickstart[size=32,train=3,val=3,test=3]", "--base", "brightness"]
    assert main([*run, "--refiner", "sharpen[gain=3]", "--device", "cpu"]) == 0
    assert "sharpen[gain=3.0]" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Sharpen", "'edge-median'"),
        ("2sharp", "cannot be a name"),
        ("sharp_en", "cannot be a name"),
        ("../sharpen", "cannot be a name"),
        ("-sharpen", "cannot be a name"),
        ("lambda", "cannot be a name"),
        ("densecrf", "there is a refiner 'densecrf' already"),
        ("numpy", "there is a Python module 'numpy' already"),
        ("bench", "there is a Python module 'bench' already"),
        ("tests", "there is a Python module 'tests' already"),
        ("there", "it is there already"),
    ],
)
def test_a_name_that_cannot_be_is_refused_in_one_line(
    name: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").mkdir()
    try:
        code = main(["new", "refiner", name])
    except SystemExit as stop:  # an option of ours, by its looks
        code, says = int(str(stop.code)), "bench: error"
    assert code == 2
    err = capsys.readouterr().err
    assert says.strip("'") in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["there"] and not list((tmp_path / "there").iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main(["new", "refiner", "edge", "--out", "file/below"]) == 2
    assert "--out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "expected"),
    [("edge-median", "EdgeMedian"), ("image", "ImageRefiner"), ("none", "NoneRefiner"), ("span", "SpanRefiner")],
)
def test_a_class_is_called_like_the_plug_in_and_like_nothing_else(name: str, expected: str) -> None:
    assert main(["new", "refiner", name]) == 0
    module = name.replace("-", "_")
    made = subprocess.run(
        [sys.executable, "-c", f"import {module}; print({module}.{expected}().gain)"],
        cwd=name,
        capture_output=True,
        text=True,
    )
    assert made.stdout == "2.0\n", made.stderr
