"""What commands print: the answer first, in any encoding, and what of a store can be read where a part is torn."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import bench
from bench.cli import main
from bench.store import Store
from tests.bench.conftest import Toy
from tests.reports.stores import add, records


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Best: crf. With an oracle, whose mark and whose superscript few encodings have."""
    store = Store(tmp_path / "store")
    tuned = {"parameters": {"sxy": 2}, "objective": "iou", "trials": 4, "score": 0.8, "default_score": 0.7}
    for position, (name, iou) in enumerate({"identity": 0.5, "crf": 0.6, "ideal": 0.9, "net": 0.55}.items()):
        frame = records([iou, iou], boundary_iou=iou)
        more = {"tuned": tuned} if name == "crf" else {}
        add(store, name, frame, position=position, uses_ground_truth=name == "ideal", **more)
    return store


def run(toy: Toy, *more: str) -> list[str]:
    given = ["run", "--dataset", toy.dataset, "--base", toy.base, "--device", "cpu", "--refiner", "threshold"]
    engine = [] if "--engine" in more else ["--engine", "inline"]
    return [*given, *more, *engine, "--store", "runs"]


def test_a_report_is_short_and_wide_has_every_column(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--store", "store"]) == 0
    short = capsys.readouterr().out
    assert "Take crf: +10.0 ~[+10.0, +10.0]" in short and "BndAcc" not in short and "W/T/L:" not in short
    assert short == str(bench.load("store"))
    assert main(["report", "--store", "store", "--wide", "--legend"]) == 0
    wide = capsys.readouterr().out
    assert "| Refiner " in wide and "BndAcc" in wide and wide.count("- W/T/L:") == 1
    assert main(["report", "--store", "store", "--markdown"]) == 0
    assert capsys.readouterr().out.rstrip() == wide.rstrip()
    assert main(["report", "--store", "store", "--wide"]) == 0
    assert wide.startswith(capsys.readouterr().out.rstrip())


def test_the_screens_options_are_not_of_files(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--wide", "--csv"], ["--legend", "--out", "tables"]):
        assert main(["report", "--store", "store", *arguments]) == 2
        err = capsys.readouterr().err
        assert err.startswith("bench: error: ") and arguments[0] in err and err.count("\n") == 1
    assert not Path("tables").exists()
    Path("tables").write_text("in the way")
    assert main(["report", "--store", "store", "--out", "tables"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_terminal_has_its_own_width_and_bold(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["report", "--store", "store"]) == 0
    assert "mBA gain" in capsys.readouterr().out
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert main(["report", "--store", "store"]) == 0
    assert "\x1b[1m60.00\x1b[0m" in capsys.readouterr().out


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_any_encoding_of_the_screen_will_do(store: Store, encoding: str) -> None:
    environment = os.environ | {"PYTHONIOENCODING": encoding}

    def output(*arguments: str) -> str:
        command = [sys.executable, "-m", "bench.cli", *arguments]
        done = subprocess.run(command, capture_output=True, env=environment)
        assert done.returncode == 0 and done.stderr == b"", done.stderr
        return done.stdout.decode(encoding)

    dagger = "+" if encoding in ("ascii", "latin-1") else "†"
    one = "1" if encoding == "ascii" else "¹"
    shown = output("report", "--store", "store")
    assert f"\nideal {dagger} " in shown and f"\ncrf {one} " in shown
    rows = [line for line in shown.splitlines() if "[+" in line and not line.startswith("Take")]
    assert len({len(row) for row in rows}) == 1  # columns stand below one another
    if encoding == "ascii":
        assert "| + 10.0 ~[+10.0,+10.0] |" in output("report", "--store", "store", "--wide")
        output("report", "--store", "store", "--out", "files")
        assert "↑ 10.0" in Path("files/report.md").read_text(encoding="utf-8")


def test_an_error_can_be_told_in_ascii(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "bench.cli", "report", "--store", "nördlich†"]
    done = subprocess.run(command, capture_output=True, env=environment)
    assert done.returncode == 2 and done.stdout == b""
    assert done.stderr.startswith(b"bench: error: no store here (n\\xf6rdlich+)") and done.stderr.count(b"\n") == 1


def test_torn_records_cost_their_own_row(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    (torn,) = Path("store/cells").glob("*/*__net__*.parquet")
    torn.write_bytes(torn.read_bytes()[:100])
    assert main(["report", "--store", "store"]) == 2
    out, err = capsys.readouterr()
    (row,) = (line.split() for line in out.splitlines() if line.startswith("net "))
    assert " ".join(row) == "net damaged: its records cannot be read" and "Take crf: " in out
    assert err.startswith("bench: error: damaged records, ") and err.count("\n") == 1
    assert str(torn.name) in err and "run the cell again" in err
    assert main(["report", "--store", "store", "--markdown", "--latex", "--csv", "--out", "files"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert torn.name in Path("files/report.md").read_text(encoding="utf-8").split("Damaged, left out")[1]
    table = pd.read_csv("files/report.csv").set_index("refiner")
    assert table.status["net"] == "damaged" and table.iou["crf"] == 0.6


def test_a_torn_manifest_is_named_and_the_rest_reported(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    (torn,) = Path("store/cells").rglob("*__net__*.json")
    torn.write_text(torn.read_text()[:60])
    results = bench.load("store")
    assert set(results.table().refiner) == {"identity", "crf", "ideal"} == set(results.records().refiner)
    err = capsys.readouterr().err
    assert err.startswith("bench: error: damaged manifest") and torn.name in err and err.count("\n") == 1
    assert main(["report", "--store", "store"]) == 2
    assert "Take crf: " in capsys.readouterr().out
    for manifest in Path("store/cells").rglob("*.json"):
        manifest.write_text("{")
    assert main(["report", "--store", "store"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "damaged manifest" in err


def test_records_without_a_column_are_damaged(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    (torn,) = Path("store/cells").glob("*/*__net__*.parquet")
    pd.read_parquet(torn).drop(columns=["mae"]).to_parquet(torn)
    assert main(["report", "--store", "store"]) == 2
    assert "damaged records, they are not what was written" in capsys.readouterr().err


def test_scores_go_into_a_new_folder_and_never_onto_one(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    score = ["score", "--masks", str(toy.masks), "--maps", str(toy.maps)]
    assert main([*score, "--out", "new/folder/scores.csv"]) == 0
    assert len(pd.read_csv("new/folder/scores.csv")) == 10
    capsys.readouterr()
    (toy.maps / "disc1.png").write_bytes(b"no image")  # before the work: this is not seen
    for out, says in (("new", "a folder, where a file is wanted"), ("new/folder/scores.csv/x.csv", "a file, where")):
        assert main([*score, "--out", out]) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and captured.err.count("\n") == 1
        assert captured.err.startswith("bench: error: ") and says in captured.err


@pytest.mark.usefixtures("plugins")
def test_a_run_ends_with_a_summary(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(run(toy)) == 0
    out, err = capsys.readouterr()
    assert "Take threshold: " in out and "of only 2 images an interval covers less" in " ".join(out.split())
    store = Path.cwd() / "runs"
    summary = err.splitlines()[-2:]
    assert summary[0] == f"bench: 2 cells computed, 0 reused, 0 failed; kept in {store}"
    assert summary[1].startswith(f"bench: tables again: bench report --store {store} ")
    assert main(run(toy, "half[wrong=raises]", "--on-error", "skip", "--wide")) == 3
    out, err = capsys.readouterr()
    assert "| threshold" in out
    count, failed, log, _ = err.splitlines()[-4:]
    assert count.startswith("bench: 0 cells computed, 2 reused, 1 failed; ")
    assert failed.startswith("bench: failed: ") and failed.endswith("ZeroDivisionError: a defect of the plug-in")
    assert log.startswith(f"bench: what the run did: {store}/runs/") and Path(log.partition("did: ")[2]).is_file()


def test_a_run_names_a_torn_cell_and_computes_it_again(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(run(toy)) == 0
    (torn,) = Path("runs/cells").glob("*/*__threshold__*.parquet")
    torn.write_bytes(b"")
    capsys.readouterr()
    assert main(run(toy)) == 0
    out, err = capsys.readouterr()
    assert "damaged" not in out and "1 cells computed, 1 reused" in err
    said = [line for line in err.splitlines() if line.startswith("bench: warning: damaged records")]
    assert len(said) == 1 and torn.name in said[0]
    assert not torn.exists()


@pytest.mark.parametrize("engine", ["inline", "local"])
def test_a_terminal_sees_one_display_of_all_stages(
    toy: Toy, engine: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    assert main(run(toy, "--engine", engine)) == 0
    err = capfd.readouterr().err
    # Maps of test and val, a fit, and two cells.
    assert "stages of the run" in err and "/5" in err and " left" in err
    assert err.count("bench: done: ") == 2 and err.count("bench: fitted: threshold") == 1
    assert "bench: 2 cells computed" in err
