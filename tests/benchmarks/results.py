"""What a run of the suite measured, as it is kept: one JSON file a run, and two of them side by side."""

from __future__ import annotations

import json
import platform
import shlex
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from bench.runtime.environment import cpu_name, git_commit, version_of
from tests.benchmarks.contests import Entry

PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "opencv-contrib-python-headless",
    "numba",
    "pillow",
    "torchmetrics",
    "pysodmetrics",
    "pydensecrf2",
    "segmentation-refinement",
)

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


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        date: ISO, UTC.
        command: what was typed.
        machine: processor, GPU if any, the load average over a minute before it began.
        versions: of what decides speed, and the commit.
        entries: of the table.
        tables: what other benchmarks put beside it.
    """

    date: str
    command: str
    machine: dict[str, Any]
    versions: dict[str, str]
    entries: list[Entry]
    tables: list[Table]

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Run:
        content = json.loads(path.read_text())
        entries = [Entry(**entry) for entry in content.pop("entries")]
        tables = [Table(**table) for table in content.pop("tables")]
        return cls(**content, entries=entries, tables=tables)


def number(value: float | None) -> str:
    """Three digits, without an exponent; "" for None."""
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def typed() -> str:
    """The command of this process, as one would type it."""
    return shlex.join(["python", "-m", "pytest", *sys.argv[1:]])


def machine(load_before: float) -> dict[str, Any]:
    found: dict[str, Any] = {"cpu": cpu_name(), "load before": round(load_before, 2)}
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def versions() -> dict[str, str]:
    known = {name: version_of(name) for name in PACKAGES}
    return {"commit": git_commit(), "python": platform.python_version()} | {
        name: number or "not installed" for name, number in known.items()
    }


def changes(before: Run, after: Run) -> list[Row]:
    """The ratios of two runs by row, and how many times the second is the first; rows that only one has, too."""
    then, now = ({entry.name: entry.ratio for entry in run.entries} for run in (before, after))
    return [
        {
            "row": name,
            f"ratio {before.date}": (old := then.get(name)),
            f"ratio {after.date}": (new := now.get(name)),
            "change": new / old if old and new else None,
        }
        for name in dict.fromkeys([*then, *now])
    ]
