"""CPU seconds of ``bench report`` over stores of more and more cells: does its time grow as they do?

The stores are alike: datasets of two bases with ten refiners each, four images a cell; one more has few cells of many
images. What the report of one dataset takes is mostly the start of the program, and is taken off with its cells: the
exponent is that of the rest, 1 where time is linear. Of some rounds the fastest counts.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.store import Store
from tests.benchmarks.conftest import Tables
from tests.benchmarks.measuring import command, exponent
from tests.reports.stores import add, records

BASES, REFINERS, ROUNDS = 2, 10, 3
STORES = {"1 dataset": (1, 4), "20 datasets": (20, 4), "150 datasets": (150, 4), "20 datasets, 1000 images": (20, 1000)}
"""Datasets, and images of each. The first is the start, the second what the others are held against."""


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


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="its peak memory is read as Linux tells it")
def test_cells(tables: Tables, tmp_path: Path) -> None:
    folders = {name: filled(tmp_path / name, *size) for name, size in STORES.items()}
    rounds = [
        {name: command("report", "--store", str(folder)) for name, folder in folders.items()} for _ in range(ROUNDS)
    ]
    fastest = {name: min((each[name] for each in rounds), key=lambda spent: spent.cpu_seconds) for name in STORES}
    cells = {name: datasets * BASES * REFINERS for name, (datasets, _) in STORES.items()}
    start, first, *_ = STORES

    table = tables(f"bench report, fastest of {ROUNDS} rounds: CPU time")
    for name, spent in fastest.items():
        known = [(fastest[each].cpu_seconds, cells[each]) for each in (first, name, start)]
        grown = exponent(*known) if cells[name] > cells[first] else None
        columns = {"cells": cells[name], "exponent": grown, "peak RSS, MiB": spent.peak_mib}
        table.add(name, spent.cpu_seconds, **columns)
