"""Growth of the work that a study consists of: linear in pixels, in maps, in cells, or not."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

import bench
from bench.metrics import score
from bench.patches import patch_optimal
from bench.refiners.prn.network import PrnNetwork
from bench.store import Store
from tests.benchmarks import bench_report
from tests.benchmarks.conftest import Tables
from tests.benchmarks.growth import Growth, Job, grown, row
from tests.benchmarks.measuring import command
from tests.benchmarks.rows import scoring
from tests.benchmarks.rows.examples import example
from tests.benchmarks.rows.pseudo_labels import compiled

TITLE = "Growth: CPU time on one thread by size, and the exponent that fits it (95 % interval); 1 is linear"
CELLS = bench_report.BASES * bench_report.REFINERS
"""Of a dataset."""


def metrics(side: int, folder: Path) -> Job:
    given = example("objects", side)
    return lambda: score(given.probs, given.mask)


def pseudo_labels(stored: str, side: int, folder: Path) -> Job:
    compiled()
    given = example("objects", side)
    probs = given.codes if stored == "uint8" else given.exact.astype(stored)
    return lambda: patch_optimal(probs, given.mask, 64, smooth=1.0)


def prn(side: int, folder: Path) -> Job:
    torch.manual_seed(0)
    network = PrnNetwork(size=side, patch=64, width=32).eval()
    maps = torch.rand(1, 1, side, side)

    def forward() -> None:
        with torch.inference_mode():
            network(maps)

    return forward


def scores(maps: int, folder: Path) -> Job:
    scoring.draw(folder, maps)
    return lambda: bench.score(folder / "masks", folder / "maps", workers=1)


def store(cells: int, folder: Path) -> Job:
    """Writes the cells into a new store and reads all of them back."""
    turns = iter(range(1000))

    def write_and_read() -> None:
        filled = Store(bench_report.filled(folder / str(next(turns)), cells // CELLS, 4))
        for manifest in filled.manifests():
            filled.records(manifest)

    return write_and_read


def report(cells: int, folder: Path) -> Job:
    bench_report.filled(folder, cells // CELLS, 4)
    return lambda: command("report", "--store", str(folder))


GROWTHS = [
    Growth(
        work="all default metrics of an image",
        unit="pixel",
        sizes=(256, 512, 1024, 2048),
        job=metrics,
        rounds=15,
        note="calls of numpy weigh on small images; on large ones mBA's radii, which grow with the side",
    ),
    *(
        Growth(
            work=f"patch-optimal labels, P = 64, {stored}",
            unit="pixel",
            sizes=(256, 512, 1024, 2048),
            job=partial(pseudo_labels, stored),
            rounds=15,
            note=""
            if stored == "uint8"
            else "the smallest map lies in the second cache, we believe, larger ones do not",
        )
        for stored in ("uint8", "float32")
    ),
    Growth(
        work="prn, forward, P = 64",
        unit="pixel",
        sizes=(128, 256, 512, 1024),
        job=prn,
        rounds=1,
        note="at 1024 px features of 128 MiB exceed what a process keeps, and are cleared anew, we believe",
    ),
    Growth(work="bench score, 64x64", unit="map", sizes=(1_000, 2_000, 4_000, 8_000), job=scores, rounds=3),
    Growth(work="store: write and read", unit="cell", sizes=(100, 200, 400, 800), job=store, rounds=3),
    Growth(work="bench report", unit="cell", sizes=(400, 800, 1_600, 3_200), job=report, start=20, rounds=3),
]


@pytest.mark.parametrize("growth", GROWTHS, ids=str)
def test_growth(growth: Growth, tables: Tables, tmp_path: Path) -> None:
    tables(TITLE).rows.append({**row(growth, grown(growth, tmp_path))})
