"""A slow refiner over a folder, on two processes."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import numpy as np
import psutil
from PIL import Image
from scipy.ndimage import gaussian_filter

from bench.datasets.quickstart import Quickstart
from bench.execution.measure import MIB
from bench.refiners.densecrf import DenseCrf
from tests.benchmarks.contests import Contest, Jobs

SIDE, IMAGES = 512, 32


@dataclass(frozen=True)
class Round:
    """One call. The seconds are an image's; the memory is a worker's, or the program's own where there are none."""

    seconds: float
    start_seconds: float
    peak_rss_mb: float


def scenes(folder: Path) -> None:
    """Road scenes with blurred, noisy maps of their masks."""
    (folder / "images").mkdir()
    (folder / "maps").mkdir()
    samples = Quickstart(root=Path(), size=SIDE, train=1, val=1, test=IMAGES).split("test")
    draw = np.random.default_rng(0)
    for index in range(IMAGES):
        sample = samples[index]
        soft = gaussian_filter(sample.mask.astype(float), 3) + gaussian_filter(draw.normal(0, 1, sample.mask.shape), 3)
        Image.fromarray(sample.image).save(folder / "images" / f"{sample.id}.png")
        Image.fromarray((soft.clip(0, 1) * 255).astype(np.uint8)).save(folder / "maps" / f"{sample.id}.png")


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
    written = sorted(path.stat().st_mtime for path in out.glob("*.png"))
    assert len(written) == IMAGES
    # Each worker's first image falls into its start.
    return Round((written[-1] - written[workers - 1]) / (IMAGES - workers), written[workers - 1] - began, peak)


def two_processes(folder: Path) -> Jobs:
    import pydensecrf.densecrf  # noqa: F401  # the row is empty without it

    refiner = DenseCrf()
    names = sorted(path.name for path in (folder / "maps").iterdir())

    def peer() -> float:
        begin = time.perf_counter()
        for name in names:
            image = np.asarray(Image.open(folder / "images" / name).convert("RGB"))
            probs = np.asarray(Image.open(folder / "maps" / name), np.float32) / np.float32(255)
            (refined,) = refiner.refine([image], [probs])
            with TemporaryFile() as file:
                Image.fromarray(np.rint(255 * refined).astype(np.uint8)).save(file, "png")
        return (time.perf_counter() - begin) / len(names)

    def ours() -> float:
        with TemporaryDirectory() as out:
            return refine(folder, Path(out), 2).seconds

    return Jobs(peer, ours)


ROWS = [
    Contest(
        work="DenseCRF over a folder",
        setting=f"{IMAGES} images of {SIDE}x{SIDE}",
        peer="a plain loop",
        ours="bench refine --workers 2",
        prepare=two_processes,
        files=scenes,
        target=1.8,
        keep=True,
        clock="told",
        memory=False,
        rounds=3,
        processes=1,
        missed="Each image is one call into the library. What is missing to twice as fast is, we believe, what two "
        "processes share: the last cache and the way to memory.",
        note="Of the command it is the pace between the first images of both processes and the last one, without its "
        "start. The loop reads, refines and writes with the same class.",
    )
]
