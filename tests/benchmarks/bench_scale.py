"""How the cost of a study grows: CPU and wall time a cell and an image, by engine, and the memory that it takes.

The cells are trivial, four images of 32x32 from maps on disk, so that what is measured is the harness. CPU time is that
of the whole machine, as the processes of a Ray cluster are nobody's children: nothing else may run. Of each engine the
time of the smallest study, mostly starts, is taken off: the exponent is that of the rest, 1 where time is linear.
``--largest`` says how far it goes: with 10,000 cells it takes half an hour on two cores.
"""

from __future__ import annotations

import math
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from bench.store import Store
from tests.benchmarks.conftest import Tables

SIZES = (100, 1_000, 10_000)

MEASURED = """
import sys
from bench.cli import main
code = main(sys.argv[1:])
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(int(peak.split()[1]) / 1024, file=sys.stderr)
sys.exit(code)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux tells it")


@dataclass(frozen=True)
class Spent:
    """What a command took; ``peak_mib`` is its own process's."""

    cpu_seconds: float
    wall_seconds: float
    peak_mib: float


def bench(*arguments: str) -> Spent:
    busy, begin = _busy(), time.monotonic()
    command = [sys.executable, "-c", MEASURED, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Spent(_busy() - busy, time.monotonic() - begin, float(done.stderr.split()[-1]))


def _busy() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def drawn(folder: Path, images: int) -> list[str]:
    """Images, masks and maps as files; the options that name them."""
    draw = np.random.default_rng(0)
    for name in ("images", "masks", "maps"):
        (folder / name).mkdir(parents=True)
    for number in range(images):
        mask = np.zeros((32, 32), np.uint8)
        row, column = draw.integers(2, 16, 2)
        mask[row : row + 12, column : column + 12] = 255
        cv2.imwrite(str(folder / f"images/{number:06}.png"), draw.integers(0, 256, (32, 32, 3), np.uint8))
        cv2.imwrite(str(folder / f"masks/{number:06}.png"), mask)
        probs = np.clip(0.7 * (mask / 255) + 0.3 * draw.random((32, 32)), 0, 1).astype(np.float32)
        np.save(folder / f"maps/{number:06}.npy", probs)
    dataset = f"folder[images={folder}/images,masks={folder}/masks,val=0,test=1]"
    return ["run", "--dataset", dataset, "--base", f"maps[path={folder}/maps]", "--refiner", "identity"]


def exponent(first: tuple[float, int], last: tuple[float, int], start: tuple[float, int]) -> float:
    """Of the growth from the first to the last of (seconds, count), with the start taken off both."""
    (some, few), (more, many) = ((seconds - start[0], count - start[1]) for seconds, count in (first, last))
    return math.log(more / some) / math.log(many / few)


@pytest.mark.parametrize("engine", ["inline", "local", "ray"])
def test_cells(tables: Tables, tmp_path: Path, largest: int, engine: str) -> None:
    if engine == "ray" and find_spec("ray") is None:
        pytest.skip("the ray extra is not installed")
    options = drawn(tmp_path / "four", 4)
    spent: dict[int, Spent] = {}
    table = tables(f"bench run over trivial cells: CPU time a cell, --engine {engine}")
    for cells in (size for size in SIZES if size <= largest):
        store = str(tmp_path / f"{cells}")
        seeds = [str(seed) for seed in range(cells)]
        spent[cells] = found = bench(*options, "--seed", *seeds, "--engine", engine, "--store", store)
        (start, *_), known = SIZES, [size for size in SIZES[1:] if size < cells]
        grown = exponent(*((spent[size].cpu_seconds, size) for size in (known[0], cells, start))) if known else None
        table.add(
            f"{cells} cells",
            found.cpu_seconds / cells,
            **{
                "CPU, s": found.cpu_seconds,
                "wall, s": found.wall_seconds,
                "exponent of CPU": grown,
                "peak RSS of the command, MiB": found.peak_mib,
            },
        )
        if engine == "inline":
            again = tables("bench run where all cells are in the store, and bench report: CPU time a cell")
            cached = bench(*options, "--seed", *seeds, "--engine", engine, "--store", store)
            report = bench("report", "--store", store)
            again.add(
                f"{cells} cells",
                cached.cpu_seconds / cells,
                **{"run, s": cached.cpu_seconds, "report, s": report.cpu_seconds},
            )


def test_images(tables: Tables, tmp_path: Path, largest: int) -> None:
    table = tables("bench run over one cell of many images in parts, --engine local: CPU time an image")
    for images in (1_000, 20_000 if largest >= SIZES[-1] else 4_000):
        options, store = drawn(tmp_path / f"{images}", images), tmp_path / f"store{images}"
        spent = bench(*options, "--store", str(store))
        report = bench("report", "--store", str(store))
        (cell,) = Store(store).manifests()
        records = Store(store).records(cell)
        table.add(
            f"{images} images",
            spent.cpu_seconds / images,
            **{
                "peak RSS of a stage that refines, MiB": float(records["peak_rss_mb"].max()),
                "of one that makes maps": float(records["base_peak_rss_mb"].max()),
                "of the command": spent.peak_mib,
                "of bench report": report.peak_mib,
            },
        )
