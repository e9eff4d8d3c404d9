from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.reports import FORMATS, build
from bench.reports.formats import latex
from bench.reports.tables import Report
from bench.store import Store
from tests.reports.stores import add

NASTY = r"x[a=\b{c}~d^e&f$g#h_i%j<k>l|m--n`o'p§é→\alpha]"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def report(store: Store) -> Report:
    for base in ("onnx[path=a_b%.onnx]", "unet"):
        add(store, "identity", [0.80, 0.82], base=base, position=0, complete="6 of 6226 pairs")
        add(store, "prn[size=128,patch=16]", [0.84, 0.86], base=base, position=1)
        add(store, "worse_one", [0.70, 0.79], base=base, position=2)
        add(store, "ideal", [0.9, 0.9], base=base, position=5, uses_ground_truth=True)
        add(
            store,
            "psp",
            [0.9, 0.9],
            base=base,
            position=4,
            contaminated=["DUTS-TE", "A_B"],
            contaminated_by=["refiner"],
        )
    add(store, NASTY, [0.8, 0.8], position=3)
    add(store, "crf", None, position=4, status="failed", error=f"50% of {{all}} & more {NASTY} " + "long words " * 30)
    add(store, "identity", [0.5], dataset="lakes_2", limit=20, drawn=True)
    return build(store)


def line(text: str, name: str) -> list[str]:
    """Cells of the first row of that name."""
    found = next(line for line in text.splitlines() if line.startswith(latex.escape(name)))
    return [cell.strip() for cell in re.split(r"(?<!\\)&", found.removesuffix(r"\\"))]


def test_bold_arrows_and_booktabs(report: Report) -> None:
    text = latex.render(report)
    prn = line(text, "prn[size=128,patch=16]")
    assert prn[1] == r"\textbf{85.00}"
    assert prn[2] == r"$\uparrow$\,4.0 {\scriptsize$\sim[+4.0,\,+4.0]$}"
    assert line(text, "worse_one")[2].startswith(r"$\downarrow$\,6.5 ")
    assert line(text, "ideal")[:2] == [r"ideal\,$\dagger$", "90.00"]
    assert line(text, "psp")[:2] == [r"psp\,$\ddagger$$^{1}$", "90.00"]
    assert r"$^{1}$ not clean: the public weights of the refiner were trained on DUTS{-}TE, A\_B" in text
    assert r"$\ddagger$: public weights of the base or the refiner" in text
    for rule in ("toprule", "midrule", "bottomrule"):
        assert rf"\{rule}" in text


def test_the_fragment_has_a_table_of_each_kind_and_no_preamble(report: Report) -> None:
    text = latex.render(report)
    titles = re.findall(r"\\caption\{(.*?) on (\w+)", text)
    assert sorted(titles) == [
        ("Cost", "lakes"),
        ("Cost", "roads"),
        ("Headroom recovered", "roads"),  # the lakes have no oracle
        ("Quality", "lakes"),
        ("Quality", "roads"),
    ]
    assert r"\documentclass" not in text
    assert r"Quality on lakes\_2 (a random sample of 20)" in text
    assert "6 of 6226 pairs" in text


def test_failed_and_missing_rows(report: Report) -> None:
    text = latex.render(report)
    assert r"failed: 50\% of \{all\} \& more" in text
    assert line(text, "crf")[1].endswith(r"{\raggedright missing\strut}")  # of the other base


def test_long_groups_are_split_between_bases(store: Store) -> None:
    for base in range(12):
        for refiner in ("identity", "a", "b", "c"):
            add(store, refiner, [0.5], base=f"base{base:02}")
    text = latex.render(build(store))
    assert "Quality on roads (1 of 2)" in text and "Quality on roads (2 of 2)" in text
    assert all(text.count(f"base{base:02}") == 2 for base in range(12))  # once for quality, once for cost


@given(st.text(max_size=60))
def test_escaped_text_is_ascii_without_bare_special_characters(text: str) -> None:
    escaped = latex.escape(text)
    assert escaped.isascii()
    for command in re.findall(r"\\(?:text[a-z]+|S)\{\}|\$\\(?:d?dagger|sim)\$|\{-\}|\\[&%$#_{}]", escaped):
        escaped = escaped.replace(command, "", 1)
    assert not set(escaped) & set("\\{}&%$#_^~")


def compile_document(source: str, folder: Path) -> str:
    """Run pdflatex; its log. Fails the test where it fails."""
    if shutil.which("pdflatex") is None:
        pytest.skip("needs pdflatex: apt-get install texlive-latex-base")
    (folder / "report.tex").write_text(source, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    return done.stdout


def test_the_document_compiles_and_fits_the_page(report: Report, tmp_path: Path) -> None:
    log = compile_document(FORMATS["latex"].render(report), tmp_path)
    assert (tmp_path / "report.pdf").stat().st_size > 10_000
    assert "Overfull" not in log
    assert "Float too large" not in log


def test_the_document_compiles_without_booktabs(report: Report, tmp_path: Path) -> None:
    source = latex.document(report)
    assert r"\IfFileExists{booktabs.sty}" in source
    compile_document(source.replace("booktabs.sty", "absent.sty"), tmp_path)


def test_full_tables_fit_the_page(store: Store, tmp_path: Path) -> None:
    for base in range(4):
        for refiner in range(12):
            add(store, "identity" if refiner == 0 else f"refiner{refiner}", [0.5], base=f"base{base}")
    log = compile_document(latex.document(build(store)), tmp_path)
    assert "Float too large" not in log
