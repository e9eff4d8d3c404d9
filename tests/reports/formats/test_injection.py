"""Names and error texts of others are text in every form of report: no formula, no tag, no link, no command."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from bench.cli import main
from bench.reports import FORMATS, build
from bench.store import Store
from tests.bench.datasets.files import write_mask
from tests.reports.stores import add

EVIL = (
    "=cmd|'/C calc'!A0 <script>alert(1)</script> ![x](http://evil/x.png) [y](http://evil) `z` "
    "\\input{/etc/passwd} \x1b[2J"
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    for base in ("unet", EVIL):
        add(store, "identity", [0.5, 0.6], base=base, dataset=EVIL, position=0)
        add(store, EVIL, [0.6, 0.7], base=base, dataset=EVIL, position=1)
        add(store, "failing", None, base=base, dataset=EVIL, position=2, status="failed", error=EVIL)
    return store


def test_csv(store: Store) -> None:
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"].render(build(store)))))
    assert len(rows) == 6
    assert not [field for row in rows for field in row.values() if field[:1] in ("=", "@", "\t", "\r")]
    assert {row["dataset"] for row in rows} == {"'" + EVIL}


def test_markdown(store: Store) -> None:
    text = FORMATS["markdown"].render(build(store))
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert "alert(1)" in html  # as text
    assert "\x1b" not in html and not [tag for tag in ("<script", "<img", "<a ", "<code") if tag in html]


def test_latex(store: Store) -> None:
    text = FORMATS["latex"].render(build(store))
    assert "\\input" not in text and "\x1b" not in text and r"\textbackslash{}input" in text


def test_the_terminal(store: Store) -> None:
    assert "\x1b" not in FORMATS["terminal"].render(build(store))


def test_scores_of_a_file_with_a_formula_for_a_name(tmp_path: Path) -> None:
    for name in ("=1+1", "-1", "plain"):
        for folder in ("masks", "maps"):
            write_mask(tmp_path / folder / f"{name}.png")
    scores = ["score", "--masks", str(tmp_path / "masks"), "--maps", str(tmp_path / "maps")]
    assert main([*scores, "--out", str(tmp_path / "scores.csv")]) == 0
    ids = [row["id"] for row in csv.DictReader(io.StringIO((tmp_path / "scores.csv").read_text()))]
    assert sorted(ids) == ["'=1+1", "-1", "plain"]
