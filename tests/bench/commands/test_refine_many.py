"""``bench refine`` on thousands of 512x512 maps: flat memory, and a call that was killed is gone on with.

Run it by hand for another number: ``python -m tests.bench.commands.test_refine_many COUNT REFINER WORKERS FOLDER``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from tabulate import tabulate

from bench.commands.refined import RECORD

SIDE, MIB = 512, 2**20
COUNT, REFINER, WORKERS = 1000, "guided-filter", 2
PARTS = {"start": (0.0, 0.1), "middle": (0.45, 0.55), "end": (0.9, 1.0)}


@dataclass(frozen=True)
class Sight:
    """What was seen of a running call: maps written, and resident memory in MiB."""

    written: int
    parent: float
    largest_worker: float


def generate(folder: Path, count: int) -> None:
    """Maps of a soft disc that wanders, each with an image; the images are hard links to one file."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    disc = (255 / (1 + np.exp((np.hypot(rows - 256, columns - 256) - 120) / 12))).astype(np.uint8)
    (folder / "images").mkdir()
    (folder / "maps").mkdir()
    first = folder / "images" / "0000.png"
    noise = np.random.default_rng(0).integers(0, 30, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(noise + disc[..., None] // 2).save(first)
    for number in range(count):
        if number:
            os.link(first, first.with_name(f"{number:04d}.png"))
        moved = np.roll(disc, (number % 97, number % 89), (0, 1))
        Image.fromarray(moved).save(folder / "maps" / f"{number:04d}.png", compress_level=1)


def watch(folder: Path, refiner: str, workers: int, kill_at: int | None = None) -> Iterator[Sight]:
    """Run the command until it ends, or kill it once so many maps are written; what is seen in the meantime."""
    places = [f"--{name}={folder / name}" for name in ("images", "maps", "out")]
    command = [sys.executable, "-m", "bench.cli", "refine", "--refiner", refiner, "--workers", str(workers), *places]
    process = psutil.Popen([*command, "--device", "cpu"], stdout=subprocess.DEVNULL)
    while process.poll() is None:
        written = len(written_maps(folder))
        if kill_at is not None and written >= kill_at:
            process.kill()
        try:
            children = [child.memory_info().rss / MIB for child in process.children()]
            yield Sight(written, process.memory_info().rss / MIB, max(children, default=0.0))
        except psutil.NoSuchProcess:
            continue
        time.sleep(0.2)
    assert (process.wait() == 0) is (kill_at is None)


def written_maps(folder: Path) -> list[str]:
    out = folder / "out"
    return [path.name for path in out.iterdir() if not path.name.startswith(".")] if out.is_dir() else []


def peaks(sights: list[Sight]) -> dict[str, tuple[float, float]]:
    """Highest memory of the parent and of a worker in each part of the call."""
    least, most = sights[0].written, sights[-1].written
    found = {}
    for part, (begin, end) in PARTS.items():
        # From the fifth map of the call on: before that the processes still load libraries.
        low, high = (max(least + 5, least + share * (most - least)) for share in (begin, end))
        seen = [sight for sight in sights if low <= sight.written <= high]
        found[part] = (max(sight.parent for sight in seen), max(sight.largest_worker for sight in seen))
    return found


def kill_and_resume(folder: Path, count: int, refiner: str, workers: int) -> dict[str, tuple[float, float]]:
    """Generate maps, refine a fifth of them, kill that, refine the rest; peaks of memory of the second call."""
    generate(folder, count)
    list(watch(folder, refiner, workers, kill_at=count // 5))
    before = {name: (folder / "out" / name).stat().st_mtime_ns for name in written_maps(folder)}
    assert count // 5 <= len(before) < count // 2
    sights = list(watch(folder, refiner, workers))
    assert sorted(path.name for path in (folder / "out").iterdir()) == [RECORD, *(f"{n:04d}.png" for n in range(count))]
    assert all((folder / "out" / name).stat().st_mtime_ns == moment for name, moment in before.items())
    for name in before:
        with Image.open(folder / "out" / name) as picture:
            assert picture.size == (SIDE, SIDE) and picture.mode == "L"
            picture.load()  # whole, not torn by the kill
    return peaks(sights)


@pytest.mark.slow
def test_memory_stays_flat_and_a_killed_call_is_gone_on_with(tmp_path: Path) -> None:
    found = kill_and_resume(tmp_path, COUNT, REFINER, WORKERS)
    for process in (0, 1):
        assert 20 < found["end"][process] < 1.05 * found["start"][process] + 5


if __name__ == "__main__":
    count, refiner, workers, folder = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    started = time.monotonic()
    rows = [(part, *values) for part, values in kill_and_resume(folder, count, refiner, workers).items()]
    print(f"{count} maps, {refiner}, {workers} workers, {time.monotonic() - started:.0f} s with the making of the maps")
    print(tabulate(rows, ["of the resumed call", "parent, MiB", "largest child, MiB"], floatfmt=".1f"))
