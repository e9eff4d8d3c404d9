"""CPU seconds of ``bench report`` over stores of more and more cells: does its time grow as they do?

The stores are alike: datasets of two bases with ten refiners each, four images a cell; one more has few cells of many
images. What the report of one dataset takes is mostly the start of the program, and is taken off with its cells: the
exponent is that of the rest, 1 where time is linear. Of some rounds the fastest counts.
"""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bench.store import Store
from tests.benchmarks.conftest import Tables
from tests.reports.stores import add, records

BASES, REFINERS, ROUNDS = 2, 10, 3
STORES = {"1 dataset": (1, 4), "20 datasets": (20, 4), "150 datasets": (150, 4), "20 datasets, 1000 images": (20, 1000)}
"""Datasets, and images of each. The first is the start, the second what the others are held against."""

# The peak of a process counts that of the one which started it, too; that of its memory since the start does not.
MEASURED = """
import sys, time
from bench.cli import main
main(["report", "--store", sys.argv[1]])
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(time.process_time(), int(peak.split()[1]) / 1024, file=sys.stderr)
"""


@dataclass(frozen=True)
class Spent:
    cpu_seconds: float
    peak_rss_mb: float


def filled(folder: Path, datasets: int, images: int) -> Path:
    store, draw = Store(folder), np.random.default_rng(0)
    for dataset in range(datasets):
        for base in range(BASES):
            before = draw.beta(5, 2, images)
            for refiner in ["identity", *(f"refiner{number}" for number in range(1, REFINERS))]:
                after = before if refiner == "identity" else np.clip(before + draw.normal(0.01, 0.05, images), 0, 1)
                more = {"boundary_iou": 0.8 * after, "mae": 1 - after, "seconds": draw.gamma(2, 0.05, images)}
                add(store, refiner, records(after, **more), dataset=f"data{dataset}", base=f"base{base}")
    return folder


def report(store: Path) -> Spent:
    command = [sys.executable, "-c", MEASURED, str(store)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, peak = done.stderr.split()[-2:]
    return Spent(float(seconds), float(peak))


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="its peak memory is read as Linux tells it")
def test_cells(tables: Tables, tmp_path: Path) -> None:
    folders = {name: filled(tmp_path / name, *size) for name, size in STORES.items()}
    rounds = [{name: report(folder) for name, folder in folders.items()} for _ in range(ROUNDS)]
    fastest = {name: min((each[name] for each in rounds), key=lambda spent: spent.cpu_seconds) for name in STORES}
    cells = {name: datasets * BASES * REFINERS for name, (datasets, _) in STORES.items()}
    start, first, *_ = STORES

    def beyond_start(name: str) -> tuple[float, int]:
        return fastest[name].cpu_seconds - fastest[start].cpu_seconds, cells[name] - cells[start]

    table = tables(f"bench report, fastest of {ROUNDS} rounds: CPU time")
    for name, spent in fastest.items():
        (more, most), (least, few) = beyond_start(name), beyond_start(first)
        exponent = math.log(more / least) / math.log(most / few) if most > few else None
        columns = {"cells": cells[name], "exponent": exponent, "peak RSS, MiB": spent.peak_rss_mb}
        table.add(name, spent.cpu_seconds, **columns)
