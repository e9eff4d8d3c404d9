"""The speed suite's options and tables. ``make bench`` runs it; a plain ``pytest`` does not collect it.

Everything in one table was measured in one run, one after the other: its ratios hold where its seconds do not.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from tabulate import tabulate

from tests.benchmarks import page
from tests.benchmarks.contests import Contest, Entry
from tests.benchmarks.results import Run, Table, changes, machine, typed, versions


class Tables:
    """The run's tables by title."""

    def __init__(self) -> None:
        self._by_title: dict[str, Table] = {}

    def __call__(self, title: str) -> Table:
        return self._by_title.setdefault(title, Table(title))

    def finished(self) -> list[Table]:
        return list(self._by_title.values())


@dataclass
class Measured:
    """What the run has measured so far, and the load that was there before."""

    entries: list[Entry] = field(default_factory=list)
    tables: Tables = field(default_factory=Tables)
    load_before: float = field(default_factory=lambda: os.getloadavg()[0])

    def run(self) -> Run:
        date = datetime.now(UTC).date().isoformat()
        about = typed(), machine(self.load_before), versions()
        return Run(date, *about, entries=self.entries, tables=self.tables.finished())


_MEASURED = pytest.StashKey[Measured]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("speed suite")
    group.addoption("--device", choices=["cpu", "cuda"], default="cpu", help="where the networks run")
    group.addoption("--repeats", type=int, default=5, help="timed forward passes of a network; the median counts")
    group.addoption("--largest", type=int, default=1_000, help="cells of the largest study that is run")
    group.addoption("--short", action="store_true", help="only the rows that have a bound, in few rounds: CI's guard")
    text = "write what was measured to this file: JSON if it ends in .json, or Markdown"
    group.addoption("--results", type=Path, help=text)
    text = "a JSON file of --results: print how each row's ratio has changed since"
    group.addoption("--compare", type=Path, help=text)


def pytest_configure(config: pytest.Config) -> None:
    torch.set_num_threads(1)
    config.stash[_MEASURED] = Measured()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--short"):
        kept = [item for item in items if _bound(item) is not None]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


def _bound(item: pytest.Item) -> float | None:
    contest = (
        item.callspec.params.get("contest")
        if isinstance(item, pytest.Function) and item.originalname == "test_row"
        else None
    )
    return contest.guard if isinstance(contest, Contest) else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    run = config.stash[_MEASURED].run()
    if not run.entries and not run.tables:
        return
    text = page.summary(run, short=config.getoption("--short"))
    terminalreporter.write_line("\n" + text)
    results: Path | None = config.getoption("--results")
    if results is not None and results.suffix == ".json":
        run.write(results)
    elif results is not None:
        results.write_text(text)
    before: Path | None = config.getoption("--compare")
    if before is not None:
        rows = changes(Run.read(before), run)
        terminalreporter.write_line("\n" + tabulate(rows, headers="keys", tablefmt="github", floatfmt=".3g"))


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    """What the run has measured so far: rows of the table join ``entries``."""
    return request.config.stash[_MEASURED]


@pytest.fixture
def tables(measured: Measured) -> Tables:
    """Where a benchmark puts what it measured."""
    return measured.tables


@pytest.fixture
def short(request: pytest.FixtureRequest) -> bool:
    """Only CI's part is wanted."""
    return bool(request.config.getoption("--short"))


@pytest.fixture
def device(request: pytest.FixtureRequest) -> str:
    """``"cpu"`` or ``"cuda"``; skips where there is no such device."""
    device: str = request.config.getoption("--device")
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("this machine has no GPU that torch can use")
    return device


@pytest.fixture
def repeats(request: pytest.FixtureRequest) -> int:
    """How often a network is timed."""
    return int(request.config.getoption("--repeats"))


@pytest.fixture
def largest(request: pytest.FixtureRequest) -> int:
    """Cells of the largest study that is run."""
    return int(request.config.getoption("--largest"))
