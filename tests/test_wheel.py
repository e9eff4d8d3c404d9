"""The wheel beside packages whose names ours once had: installed first or second, neither sees the other."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOREIGN = ("refiners", "bases", "reports")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="builds the wheel, from the extra 'test'")
    folder = tmp_path_factory.mktemp("wheel")
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT))
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_one_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"bench", "refinebench"}
    for name in (
        "refiners/prn/network.py",
        "bases/unet.py",
        "reports/tables.py",
        "reports/published.toml",
        "reports/page/static/core.js",
        "reports/page/templates/index.html",
        "bench.toml",
    ):
        assert f"bench/{name}" in names


@pytest.mark.parametrize("foreign_first", [True, False])
def test_foreign_packages_of_those_names_do_not_mix_with_it(wheel: Path, tmp_path: Path, foreign_first: bool) -> None:
    python = _environment(tmp_path / "env")
    packages = [_foreign_wheel(tmp_path), wheel] if foreign_first else [wheel, _foreign_wheel(tmp_path)]
    for package in packages:
        _pip("--python", str(python), "install", "--no-deps", "--no-index", str(package))
    empty = tmp_path / "empty"
    empty.mkdir()
    foreign = _run(python, empty, "-c", "import refiners, bases, reports; print(refiners.OF, bases.OF, reports.OF)")
    assert foreign.split() == ["another"] * 3
    ours = _run(python, empty, "-c", "import bench.refiners, bench.reports; print(bench.refiners.__file__)")
    assert Path(ours.strip()).is_relative_to(tmp_path / "env")
    bench = python.parent / "bench"
    assert _run(bench, empty, "--version").startswith("refinebench ")
    base = "unet[encoder=resnet18,encoder_weights=none,size=32,epochs=1]"
    run = ["run", "--dataset", "quickstart[size=32,train=2,val=2,test=2]", "--base", base, "--refiner", "threshold"]
    if foreign_first:  # both are installed then: what is printed is the same in either order
        assert "threshold" in _run(bench, empty, *run, "--engine", "inline", "--device", "cpu")
        assert "broken" not in _run(bench, empty, "list", "refiners")


def _environment(folder: Path) -> Path:
    """A fresh environment that sees what this one has installed, but for what is installed in both."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    site = Path(_run(python, folder, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (site / "here.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def _foreign_wheel(folder: Path) -> Path:
    name, info = "foreign", "foreign-1.0.dist-info"
    files = {f"{package}/__init__.py": "OF = 'another'\n" for package in FOREIGN} | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel


def _pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments], check=True)


def _run(program: str | Path, folder: Path, *arguments: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    process = subprocess.run([program, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout
