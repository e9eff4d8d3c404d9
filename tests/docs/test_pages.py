"""Every page of the documentation: its blocks run as it says, and its links lead somewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import REPOSITORY
from tests.docs.pages import Desk, NoIndexError, Problem, broken_links, told, untold

RECORDED = ("reference", "results")
"""Folders of docs/ whose pages were generated, or say what was once measured: no blocks for the reader to run."""

PAGES = [
    page
    for page in (*sorted(REPOSITORY.glob("*.md")), *sorted((REPOSITORY / "docs").rglob("*.md")))
    if page.name in ("README.md", "CONTRIBUTING.md") or "docs" in page.relative_to(REPOSITORY).parts
    if not set(RECORDED) & set(page.relative_to(REPOSITORY).parts)
]

SLOW = ("adapters.md",)
"""It exports a network to three forms and runs five bases."""


def each(pages: list[Path], slow: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    marks = {page: [pytest.mark.slow] if page.name in slow else [] for page in pages}
    named = [pytest.param(page, id=str(page.relative_to(REPOSITORY)), marks=marks[page]) for page in pages]
    return pytest.mark.parametrize("page", named)


@each([*PAGES, REPOSITORY / "examples" / "README.md"])
def test_each_block_says_what_it_is(page: Path) -> None:
    nothing_of(untold(page))


@each(PAGES, SLOW)
def test_each_block_does_what_it_says(page: Path, tmp_path: Path) -> None:
    desk = Desk.laid_out(tmp_path)
    try:
        said, problems = desk.follow(page)
    except NoIndexError as error:
        pytest.skip(str(error))
    nothing_of(problems)
    if page.name == "tutorial.md":
        the_tutorial_keeps_its_promises(desk.folder, said)


def the_tutorial_keeps_its_promises(folder: Path, said: str) -> None:
    assert said.count("refiner sharpen:") == 2 and "FAIL" not in said
    cells = pd.read_csv(folder / "tables" / "report.csv")
    iou = dict(zip(cells["refiner"], cells["iou"], strict=True))
    # Sharpened alone it gains nothing, averaged within colours it does.
    assert iou["sharpen"] > iou["identity"] + 0.02
    linted = subprocess.run([sys.executable, "-m", "ruff", "check", "."], cwd=folder / "sharpen", capture_output=True)
    assert linted.returncode == 0, linted.stdout.decode()


def test_each_link_leads_somewhere() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("no git checkout, which says what belongs to it")
    pages = [REPOSITORY / name for name in listed.stdout.splitlines()]
    assert REPOSITORY / "README.md" in pages
    nothing_of([problem for page in pages if page.exists() for problem in broken_links(page, REPOSITORY)])


def nothing_of(problems: list[Problem]) -> None:
    if problems:
        # Whole, where an assertion would cut it short.
        pytest.fail(told(problems), pytrace=False)
