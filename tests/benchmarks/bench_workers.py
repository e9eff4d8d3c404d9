"""Images/s of ``bench refine`` with DenseCRF: one worker process against two, on the same 512x512 road scenes.

Each contestant refines all images in each of some rounds, the two by turns; its fastest round counts. The time is that
between the first refined file and the last, so without the start of the processes, which a column of its own tells.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from bench.datasets.quickstart import Quickstart
from bench.execution.measure import MIB
from tests.benchmarks.conftest import Tables

pytest.importorskip("pydensecrf", reason="the densecrf extra is not installed")

SIDE, IMAGES, ROUNDS = 512, 32, 2


@dataclass(frozen=True)
class Round:
    """One call. The seconds are an image's; the memory is a worker's, or the program's own where there are none."""

    seconds: float
    start_seconds: float
    peak_rss_mb: float


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Road scenes with blurred, noisy maps of their masks."""
    folder = tmp_path_factory.mktemp("scenes")
    (folder / "images").mkdir()
    (folder / "maps").mkdir()
    samples = Quickstart(root=Path(), size=SIDE, train=1, val=1, test=IMAGES).split("test")
    draw = np.random.default_rng(0)
    for index in range(IMAGES):
        sample = samples[index]
        soft = gaussian_filter(sample.mask.astype(float), 3) + gaussian_filter(draw.normal(0, 1, sample.mask.shape), 3)
        Image.fromarray(sample.image).save(folder / "images" / f"{sample.id}.png")
        Image.fromarray((soft.clip(0, 1) * 255).astype(np.uint8)).save(folder / "maps" / f"{sample.id}.png")
    return folder


def refine(scenes: Path, out: Path, workers: int) -> Round:
    places = ["--images", str(scenes / "images"), "--maps", str(scenes / "maps"), "--out", str(out)]
    command = [sys.executable, "-m", "bench.cli", "refine", "--refiner", "densecrf", "--workers", str(workers)]
    began, peak = time.time(), 0.0
    process = psutil.Popen([*command, *places, "--device", "cpu"], stdout=subprocess.DEVNULL)
    while process.poll() is None:
        try:
            peak = max(peak, *(each.memory_info().rss / MIB for each in process.children() or [process]))
        except psutil.NoSuchProcess:
            continue
        time.sleep(0.1)
    assert process.wait() == 0
    written = sorted(path.stat().st_mtime for path in out.iterdir())
    assert len(written) == IMAGES
    # Each worker's first image falls into its start.
    return Round((written[-1] - written[workers - 1]) / (IMAGES - workers), written[workers - 1] - began, peak)


def test_two_workers(scenes: Path, tables: Tables, tmp_path: Path) -> None:
    rounds: dict[int, list[Round]] = {1: [], 2: []}
    for number in range(ROUNDS):
        for workers, done in rounds.items():
            done.append(refine(scenes, tmp_path / f"{workers}-{number}", workers))
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
