"""What lies in examples/ runs as its README says, from an empty folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from bench.cli import main
from bench.commands.new import TEMPLATES
from bench.conformance import check_refiner
from tests.bench.packages import put_on_path
from tests.conftest import REPOSITORY
from tests.docs.pages import draw_own_data

EXAMPLES = REPOSITORY / "examples"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(script: str, *arguments: str) -> str:
    """What it prints."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / script), *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_scoring_ranks_what_it_drew() -> None:
    said = run("score_a_folder.py")
    assert "disc-0 0.997" in said and "look at disc-4 first" in said


def test_scoring_takes_folders_that_are_there() -> None:
    draw_own_data(Path("my"))
    said = run("score_a_folder.py", "my/masks", "my/maps")
    assert "mean IoU of 8 images" in said and not Path("drawn").exists()


def test_the_study_goes_on_where_it_was_and_leaves_a_store_to_report_from() -> None:
    first, second = run("study.py", "a-store"), run("study.py", "a-store")
    assert first.startswith("8 cells, 0 of them") and second.startswith("8 cells, 8 of them")
    assert first.partition("\n")[2] == second.partition("\n")[2]  # the same tables
    assert main(["report", "--store", "a-store", "--csv", "--out", "tables"]) == 0
    cells = pd.read_csv("tables/report.csv")
    assert len(cells) == 8 and (cells["status"] == "done").all()
    # A study of bases that find nothing would teach nothing.
    assert (cells.loc[cells["baseline"], "iou"] > 0.15).all()


def test_the_package_is_listed_checked_and_run_as_a_refiner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    package = tmp_path / "sharpen"
    shutil.copytree(EXAMPLES / "sharpen", package, ignore=shutil.ignore_patterns("__pycache__"))
    put_on_path(package, monkeypatch)
    from sharpen import Sharpen

    assert Path(sys.modules["sharpen"].__file__ or "").is_relative_to(package)
    check_refiner(Sharpen, gain=3.0)
    draw_own_data(Path("my"))
    asked = ["refine", "--refiner", "sharpen[gain=3]", "--images", "my/images", "--maps", "my/maps", "--out", "sharp"]
    assert main(asked) == 0 and len(list(Path("sharp").glob("*.png"))) == 8
    assert main([*asked[:2], "sharpen[gain=0]", *asked[3:-1], "other"]) == 2
    assert "give a number above 0" in capsys.readouterr().err


def test_the_package_has_the_form_that_bench_new_writes() -> None:
    written = (TEMPLATES / "pyproject.toml.txt").read_text()
    for word in ("$name", "$module"):
        written = written.replace(word, "sharpen")
    written = written.replace("$kind", "refiner").replace("${kind}", "refiner").replace("$Class", "Sharpen")
    ours = (EXAMPLES / "sharpen" / "pyproject.toml").read_text().splitlines()
    assert set(ours) <= set(written.splitlines())
