"""The checker of the pages finds what is wrong with a page, and says where."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import REPOSITORY
from tests.docs.pages import Desk, anchors, broken_links, told, untold


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """An empty page in a folder of its own, which is its repository."""
    (tmp_path / "repository").mkdir()
    return tmp_path / "repository" / "page.md"


def test_a_block_that_fails_is_told_with_its_line_and_what_it_said(page: Path, tmp_path: Path) -> None:
    page.write_text("# A page\n\n```bash\necho well\n```\n\n```bash\nfalse | cat\necho never\n```\n")
    said, problems = Desk.laid_out(tmp_path / "desk").follow(page)
    assert said == "well\n" and [(problem.page, problem.line) for problem in problems] == [(page, 7)]
    assert told(problems).startswith(f"{page}:7: exit status 1\nfalse | cat")


def test_a_script_that_fails_is_told_with_its_error(page: Path, tmp_path: Path) -> None:
    page.write_text("```python\nprint(1)\n```\n\n```python\nimport bench\nraise RuntimeError(bench.__file__)\n```\n")
    said, problems = Desk.laid_out(tmp_path / "desk").follow(page)
    assert said == "1\n" and [problem.line for problem in problems] == [5]
    assert f"RuntimeError: {REPOSITORY / 'bench'}" in told(problems)


def test_a_block_that_takes_too_long_is_told_and_killed(page: Path, tmp_path: Path) -> None:
    page.write_text("Text\n\n```bash\nsleep 60 | cat\n```\n")
    _, problems = Desk.laid_out(tmp_path / "desk").follow(page, seconds=0.5)
    assert told(problems) == f"{page}:3: took more than 0.5 s"


def test_blocks_share_a_folder_with_the_readers_data_and_a_named_file_is_written(page: Path, tmp_path: Path) -> None:
    page.write_text(
        "```python\n# deep/down.py\nprint('not now')\n```\n"
        "```bash not-run: it would fail\nfalse\n```\n"
        "```bash\npython deep/down.py\nls my/*/disc-7.png > there.txt\n```\n"
        "```python\nprint(open('there.txt').read())\n```\n"
        "```bash\nbench score --masks my/masks --maps my/maps --out scores.csv\n```\n"
    )
    said, problems = Desk.laid_out(tmp_path / "desk").follow(page)
    assert not problems
    assert said.startswith("not now\nmy/images/disc-7.png\nmy/maps/disc-7.png\nmy/masks/disc-7.png\n")
    scores = pd.read_csv(tmp_path / "desk" / "folder" / "scores.csv")
    assert len(scores) == 8 and 0.3 < scores["iou"].mean() < 0.95  # the maps resemble the masks, and can be refined


@pytest.mark.parametrize(
    ("block", "what"),
    [
        ("```\nls\n```", "a block without a tag: say what it is"),
        ("    ls -l", "a block without a tag"),
        ("```sh\nls\n```", "commands are tagged bash"),
        ("```bash not-run:\nls\n```", "only 'not-run: REASON' can stand there"),
        ("```python skip\nx\n```", "only 'not-run: REASON' can stand there"),
        ("```toml\na = \n```", "this is no toml"),
        ('```json\n{"a": }\n```', "this is no json"),
    ],
)
def test_a_block_that_is_not_what_it_says_is_told_with_its_line(page: Path, block: str, what: str) -> None:
    page.write_text(f"Well tagged:\n\n```text\nls\n```\n\n{block}\n")
    (problem,) = untold(page)
    assert str(problem).startswith(f"{page}:7: ") and what in problem.what


@pytest.mark.parametrize(
    ("link", "what"),
    [
        ("other.md", "no such file"),
        ("deep/page.md#nowhere", "no such heading"),
        ("#nowhere", "no such heading"),
        ("../outside.md", "leads out of the repository"),
        ("/page.md", "leads out of the repository"),
        ("https://nowhere", "no web address"),
        ("http:/example.org/", "no web address"),
    ],
)
def test_a_broken_link_is_told_with_its_line(page: Path, link: str, what: str) -> None:
    (page.parent / "deep").mkdir()
    (page.parent / "deep" / "page.md").write_text("# Somewhere\n")
    (page.parent.parent / "outside.md").touch()
    page.write_text(f"# A page\n\n[here](deep/page.md#somewhere) and\nin the next line [there]({link})\n")
    (problem,) = broken_links(page, page.parent)
    assert str(problem).startswith(f"{page}:4: {link}") and what in problem.what


def test_links_in_tables_pictures_references_and_html_are_looked_up_and_those_in_code_are_not(page: Path) -> None:
    page.write_text(
        "| a | b |\n|---|---|\n| `[x](in-code.md)` | [x](1.md) |\n\n![x](2.png)\n\n[x][ref]\n\n[ref]: 3.md\n\n"
        'A <a href="4.md">link</a>\n\n<img src="5.png">\n\n```text\n[x](in-code.md)\n```\n'
    )
    found = [(problem.line, problem.what.partition(":")[0]) for problem in broken_links(page, page.parent)]
    assert sorted(found) == [(3, "1.md"), (5, "2.png"), (7, "3.md"), (11, "4.md"), (13, "5.png")]


def test_headings_are_called_as_github_calls_them(page: Path) -> None:
    page.write_text(
        "# One: `code`, and a [link](https://x.org)!\n## Twice\n## Twice\n\nUnderlined_name\n---\n\n"
        '```bash\n# no heading\n```\n\n## Über 2.0 — more\n\n<a id="own"></a>\n'
    )
    assert anchors(page) == {"one-code-and-a-link", "twice", "twice-1", "underlined_name", "über-20--more", "own"}
