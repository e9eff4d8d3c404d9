"""From ``bench run --metric bias`` to ``bench report --bias``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.cli import main
from tests.bench.conftest import Toy


def run(toy: Toy, *more: str) -> int:
    grid = ["--dataset", toy.dataset, "--base", toy.base, "--refiner", "threshold", "oracle-patch"]
    return main(["run", *grid, "--engine", "inline", "--store", "store", *more])


def table(stem: str) -> dict[str, dict[str, float]]:
    """Its numbers by refiner and column."""
    frame = pd.read_csv(f"tables/bias-{stem}.csv").set_index("refiner").drop(columns=["dataset", "base"])
    return {str(refiner): dict(frame.loc[refiner]) for refiner in frame.index}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_bias_is_measured_and_reported(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(toy) == 0
    assert main(["report", "--store", "store", "--bias"]) == 2
    assert "bench run ... --metric bias" in capsys.readouterr().err

    assert run(toy, "--metric", "bias[patch=8]") == 0
    assert "Bias" not in capsys.readouterr().out  # in no table of its own accord
    assert main(["report", "--store", "store", "--bias"]) == 0
    shown = capsys.readouterr().out
    assert "signed errors of maps and patches" in shown and "oracle-patch †" in shown

    assert main(["report", "--store", "store", "--bias", "--csv", "--markdown", "--out", "tables"]) == 0
    assert Path("tables", "bias.md").read_text() == shown
    rows = table("errors")
    # The maps are 0.55 in the object and 0.1 elsewhere, with noise: too low there, too high here.
    assert rows["identity"]["absolute"] > 0.05
    assert rows["oracle-patch †"]["absolute"] < 0.05
    thresholds = table("thresholds")
    assert thresholds["identity"]["threshold_median"] < thresholds["threshold"]["threshold_median"]
    assert thresholds["oracle-patch †"]["threshold_median"] == 0.5


def test_it_has_every_form(toy: Toy) -> None:
    assert run(toy, "--metric", "bias") == 0
    assert main(["report", "--store", "store", "--bias", "--latex", "--json", "--xlsx", "--out", "tables"]) == 0
    assert {path.name for path in Path("tables").iterdir()} == {"bias.tex", "bias.json", "bias.xlsx"}


def test_options_of_the_main_tables_are_refused(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(toy, "--metric", "bias") == 0
    for options in (["--wide"], ["--latex", "--style", "paper"], ["--xlsx"]):
        assert main(["report", "--store", "store", "--bias", *options]) == 2
        assert options[-1] in capsys.readouterr().err.splitlines()[-1]
