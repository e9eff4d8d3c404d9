"""docs/reference/ is what the code says, and has all of it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.config import KINDS
from bench.metrics.columns import METRICS
from bench.plugins.entry_points import foreign, names
from tests.bench.cli.test_cli import COMMANDS

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = DOCS / "reference"


@pytest.fixture
def generate(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script, as a module."""
    monkeypatch.syspath_prepend(str(DOCS))
    import generate

    return generate


def test_the_pages_are_what_the_code_says(generate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert generate.main(["--check"]) == 0, "run make docs"


def test_a_stale_page_is_named_and_mended(generate: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(REFERENCE, tmp_path, dirs_exist_ok=True)
    stale = tmp_path / "cli.md"
    stale.write_text(stale.read_text(encoding="utf-8").replace("bench run", "bench walk"), encoding="utf-8")
    (tmp_path / "plugins.md").unlink()
    assert generate.main(["--check"], tmp_path) == 1
    said = capsys.readouterr().err
    assert f"{stale} " in said and "plugins.md" in said and "python.md" not in said and "make docs" in said
    assert "bench walk" in stale.read_text(encoding="utf-8")
    assert generate.main([], tmp_path) == 0
    assert stale.read_text(encoding="utf-8") == read("cli.md")


def test_everything_is_there() -> None:
    for command in COMMANDS:
        assert f"## bench {command}\n" in read("cli.md")
    for name in bench.__all__:
        assert f"### `bench.{name}`\n" in read("python.md")
    for kind in KINDS:
        for name in names(kind) - {*foreign(kind)}:
            assert f"### {kind.capitalize()} `{name}`\n" in read("plugins.md")
    for metric in METRICS:
        assert f"| `{metric.key}` |" in read("plugins.md")


@pytest.mark.parametrize("page", ["cli.md", "python.md", "plugins.md"])
def test_links_and_tables_hold(generate: Any, page: str) -> None:
    from generator.docstrings import anchor

    text = re.sub(r"^```.*?^```$", "", read(page), flags=re.MULTILINE | re.DOTALL)
    for address in re.findall(r"\]\(([^)]+)\)", text):
        other, _, _ = address.partition("#")
        headings = re.findall(r"^#+ (.*)$", read(other or page), re.MULTILINE)
        anchors = [f"{other}{anchor(heading)}" for heading in headings]
        assert address == other or anchors.count(address) == 1
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def read(page: str) -> str:
    return (REFERENCE / page).read_text(encoding="utf-8")
