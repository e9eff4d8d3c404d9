r"""``bench report --latex --style paper``: what a reader of the paper sees, and what LaTeX makes of it."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bench.cli import main
from bench.reports import build
from bench.reports.formats import paper
from bench.reports.tables import Report
from bench.store import Store
from tests.reports.formats.test_latex import NASTY, compile_document
from tests.reports.stores import add, records

SIUNITX_STUB = r"""\ProvidesPackage{siunitx}
\RequirePackage{array}
\newcolumntype{S}{r}
\makeatletter\long\def\NC@rewrite@S[#1]{\NC@find r}\makeatother
\newcommand{\sisetup}[1]{}
"""
"""Stands in where this TeX has no siunitx: then the document is checked, the alignment is not."""

IMAGES = 120
DICE = {"title": "Dice_%", "meaning": "overlap", "better": "higher", "scale": 100, "digits": 1}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def report(store: Store) -> Report:
    drawn = np.random.default_rng(0)
    iou = drawn.uniform(0.5, 0.8, IMAGES)
    for position, (refiner, gain) in enumerate({"identity": 0.0, "prn[size=128]": 0.1, NASTY: -0.105}.items()):
        frame = records(list(iou + gain), boundary_iou=iou - gain, mae=0.0123 - gain / 100, dice=iou + gain / 2)
        add(store, refiner, frame, position=position, metrics={"dice": DICE}, complete="6 of 60 pairs")
    ideal, seen = iou + 0.15, iou + 0.12
    add(store, "oracle-image", list(ideal), position=5, uses_ground_truth=True)
    add(store, "psp", list(seen[:100]), position=4, contaminated=["DUTS-TE"], contaminated_by=["refiner"])
    add(store, "crf", None, position=6, status="failed", error="no memory")
    add(store, "identity", [0.5], dataset="lakes_2", limit=20, drawn=True, protocol="B")
    return build(store)


def row(text: str, name: str) -> list[str]:
    found = next(line for line in text.splitlines() if line.startswith(name))
    return [cell.strip() for cell in re.split(r"(?<!\\)&", found.removesuffix(r"\\"))]


def test_the_columns_of_a_paper(report: Report) -> None:
    text = paper.render(report).partition("tab:roads-unet")[2]
    assert row(text, "Refiner") == [
        "Refiner",
        r"mIoU $\uparrow$",
        "gain",
        r"[95\,\%]",
        r"mBA (d=15) $\uparrow$",
        "gain",
        r"MAE $\downarrow$",
        r"Dice\_\% $\uparrow$",
    ]
    prn, base = row(text, r"prn[size=128]"), row(text, "identity")
    assert prn[2:4] == ["$+10.0$", r"\scriptsize$[+10.0,\,+10.0]$"] and prn[5] == "$-10.0$"
    assert prn[1].startswith(r"\textbf{")
    assert base[2:4] == ["--", "--"] and base[5] == "--"
    assert "W/T/L" not in text and "lost" not in text


def test_the_caption_says_on_what_and_no_date(report: Report) -> None:
    caption = next(line for line in paper.render(report).splitlines() if "caption" in line and "roads" in line)
    for said in ("100 to 120 test images", "seed 0", "protocol A (base on train, refiners on val)", "6 of 60 pairs"):
        assert said in caption
    assert r"$\dagger$: sees the ground truth" in caption and r"$\ddagger$: public weights" in caption
    assert r"\S{}: fewer images or seeds than other rows" in caption
    for marked in (r"psp\,$\ddagger$\,\S{} ", r"oracle{-}image\,$\dagger$ ", "identity "):
        assert row(paper.render(report), marked)
    assert not re.search(r"20\d\d-\d\d", paper.render(report))


def test_labels_are_made_of_dataset_and_base_and_distinct(report: Report, store: Store) -> None:
    assert re.findall(r"\\label\{(.*?)\}", paper.render(report)) == ["tab:lakes-2-20-b-unet", "tab:roads-unet"]
    for base in ("maps[path=a_b]", "maps[path=a-b]", "Größe"):
        add(store, "identity", [0.5], base=base)
    labels = re.findall(r"\\label\{(.*?)\}", paper.render(build(store)))
    assert len(set(labels)) == 5 and all(re.fullmatch(r"tab:[a-z0-9-]+", label) for label in labels)
    assert "tab:roads-unet" in labels and sum(label.startswith("tab:roads-maps-path-a-b-") for label in labels) == 2


def test_what_is_left_out_and_the_notes_are_comments(report: Report) -> None:
    text = paper.render(report, command="bench report\n--latex")
    assert text.startswith("% made by refinebench ") and text.splitlines()[0].endswith(": bench report --latex")
    assert text.splitlines()[1] == "% packages: booktabs, graphicx"
    comments = [line for line in text.splitlines() if line.startswith("%")]
    assert "% left out: crf, failed: no memory" in comments
    assert any("psp: not clean" in comment for comment in comments)
    assert text.isascii() and "crf" not in "".join(line for line in text.splitlines() if not line.startswith("%"))


def test_siunitx_columns_are_as_wide_as_their_numbers(report: Report) -> None:
    text = paper.render(report, siunitx=True)
    columns = re.findall(r"S\[table-format=(.*?)\]", text)[-6:]
    assert columns == ["2.2", "+2.1", "2.2", "+2.1", "1.3", "2.1"]
    assert row(text, "identity")[2:4] == ["{--}", "--"]
    prn = row(text, "prn[size=128]")
    assert prn[2] == "+10.0" and re.fullmatch(r"\\bfseries \d\d\.\d\d", prn[1])
    assert "% packages: booktabs, graphicx, siunitx (version 3)" in text


@pytest.mark.parametrize("siunitx", [False, True])
def test_pdflatex_takes_it_into_a_document(report: Report, tmp_path: Path, siunitx: bool) -> None:
    (tmp_path / "tables.tex").write_text(paper.render(report, siunitx=siunitx), encoding="ascii")
    for package in ("booktabs", *(["siunitx"] if siunitx else [])):
        if not known(f"{package}.sty"):
            if package == "booktabs":
                pytest.skip("needs booktabs: apt-get install texlive-latex-recommended")
            (tmp_path / "siunitx.sty").write_text(SIUNITX_STUB, encoding="ascii")
    packages = r"\usepackage{booktabs,graphicx}" + (r"\usepackage{siunitx}" if siunitx else "")
    source = (
        rf"\documentclass{{article}}{packages}\begin{{document}}\ref{{tab:roads-unet}}\input{{tables}}\end{{document}}"
    )
    log = compile_document(source, tmp_path)
    assert "Overfull" not in log and "multiply defined" not in log


def known(file: str) -> bool:
    if shutil.which("kpsewhich") is None:
        pytest.skip("needs pdflatex: apt-get install texlive-latex-base")
    return bool(subprocess.run(["kpsewhich", file], capture_output=True, text=True, timeout=60).stdout.strip())


def test_the_command_line(store: Store, report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["report", "--store", store.address, "--latex", "--style", "paper", "--siunitx"]
    assert main(options) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert shlex.split(first.partition(": ")[2]) == ["bench", *options]
    for wrong, says in ((["--style", "paper"], "add --latex"), (["--latex", "--siunitx"], "add --latex --style paper")):
        assert main(["report", "--store", store.address, *wrong]) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and says in captured.err and captured.err.count("\n") == 1
