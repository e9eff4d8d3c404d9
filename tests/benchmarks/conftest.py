"""The speed suite's options and tables. ``make bench`` runs it; a plain ``pytest`` does not collect it.

Everything in one table was measured in one run, one after the other: its ratios hold where its seconds do not.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from tabulate import tabulate

from bench.runtime.environment import cpu_name, package_versions

Row = dict[str, str | int | float | None]


@dataclass
class Table:
    """Contestants of one job; the first to come is what the others are compared with."""

    title: str
    rows: list[Row] = field(default_factory=list)

    def add(self, name: str, seconds: float, **columns: int | float | None) -> None:
        """Add a contestant that takes ``seconds``; ``columns`` say more about it."""
        reference = self.rows[0] if self.rows else {"contestant": name, "ms": 1000 * seconds}
        faster = float(str(reference["ms"])) / (1000 * seconds)
        ratio = f"times faster than {reference['contestant']}"
        self.rows.append({"contestant": name, "ms": 1000 * seconds, ratio: faster, **columns})


class Tables:
    """The run's tables by title."""

    def __init__(self) -> None:
        self._by_title: dict[str, Table] = {}

    def __call__(self, title: str) -> Table:
        return self._by_title.setdefault(title, Table(title))

    def finished(self) -> list[Table]:
        return list(self._by_title.values())


_TABLES = pytest.StashKey[Tables]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("speed suite")
    group.addoption("--device", choices=["cpu", "cuda"], default="cpu", help="where the networks run")
    group.addoption("--repeats", type=int, default=5, help="timed forward passes of a network; the median counts")
    group.addoption("--largest", type=int, default=1_000, help="cells of the largest study that is run")
    group.addoption("--results", type=Path, help="write the tables to this file: JSON if it ends in .json, or Markdown")


def pytest_configure(config: pytest.Config) -> None:
    torch.set_num_threads(1)
    config.stash[_TABLES] = Tables()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    tables = config.stash[_TABLES].finished()
    if not tables:
        return
    machine: dict[str, Any] = {
        "cpu": cpu_name(),
        "load_average": round(os.getloadavg()[0], 2),
        **{name: package_versions().get(name) for name in ("torch", "numpy")},
    }
    if torch.cuda.is_available():
        machine["gpu"] = torch.cuda.get_device_name()
    text = _markdown(tables, machine)
    terminalreporter.write_line("\n" + text)
    results: Path | None = config.getoption("--results")
    if results is not None:
        content = {"machine": machine, "tables": [asdict(table) for table in tables]}
        results.write_text(json.dumps(content, indent=1) if results.suffix == ".json" else text)


def _markdown(tables: list[Table], machine: dict[str, Any]) -> str:
    parts = [", ".join(f"{key} {value}" for key, value in machine.items())]
    for table in tables:
        parts += [f"## {table.title}", tabulate(table.rows, headers="keys", tablefmt="github", floatfmt=".4g")]
    return "\n\n".join(parts) + "\n"


@pytest.fixture
def tables(request: pytest.FixtureRequest) -> Tables:
    """Where a benchmark puts what it measured."""
    return request.config.stash[_TABLES]


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
