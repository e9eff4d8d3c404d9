"""Images/s of ``bench refine`` with DenseCRF: one worker process against two, on the same 512x512 road scenes.

Each contestant refines all images in each of some rounds, the two by turns; its fastest round counts. The time is that
between the first refined file and the last, so without the start of the processes, which a column of its own tells.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.conftest import Tables
from tests.benchmarks.rows.workers import IMAGES, SIDE, Round, refine, scenes

pytest.importorskip("pydensecrf", reason="the densecrf extra is not installed")

ROUNDS = 2


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    scenes(folder)
    return folder


def test_two_workers(drawn: Path, tables: Tables, tmp_path: Path) -> None:
    rounds: dict[int, list[Round]] = {1: [], 2: []}
    for number in range(ROUNDS):
        for workers, done in rounds.items():
            done.append(refine(drawn, tmp_path / f"{workers}-{number}", workers))
    table = tables(f"bench refine --refiner densecrf, {IMAGES} images of {SIDE}x{SIDE}, fastest of {ROUNDS} rounds")
    for workers, done in rounds.items():
        best = min(done, key=lambda each: each.seconds)
        table.add(
            f"{workers} worker{'s' * (workers > 1)}",
            best.seconds,
            **{
                "images/s": 1 / best.seconds,
                "first image after, s": best.start_seconds,
                "peak RSS of a worker, MiB": max(each.peak_rss_mb for each in done),
            },
        )
