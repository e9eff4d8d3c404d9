"""How the cost of a study grows: CPU and wall time a cell and an image, by engine, and the memory that it takes.

The cells are trivial, four images of 32x32 from maps on disk, so that what is measured is the harness. CPU time is that
of the whole machine, as the processes of a Ray cluster are nobody's children: nothing else may run. Of each engine the
time of the smallest study, mostly starts, is taken off: the exponent is that of the rest, 1 where time is linear.
``--largest`` says how far it goes: with 10,000 cells it takes half an hour on two cores.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.store import Store
from tests.benchmarks.conftest import Tables
from tests.benchmarks.measuring import Spent, command, exponent

SIZES = (100, 1_000, 10_000)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux tells it")


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
        spent[cells] = found = command(*options, "--seed", *seeds, "--engine", engine, "--store", store)
        (start, *_), known = SIZES, [size for size in SIZES[1:] if size < cells]
        grown = exponent(*((spent[size].machine_seconds, size) for size in (known[0], cells, start))) if known else None
        table.add(
            f"{cells} cells",
            found.machine_seconds / cells,
            **{
                "CPU, s": found.machine_seconds,
                "wall, s": found.wall_seconds,
                "exponent of CPU": grown,
                "peak RSS of the command, MiB": found.peak_mib,
            },
        )
        if engine == "inline":
            again = tables("bench run where all cells are in the store, and bench report: CPU time a cell")
            cached = command(*options, "--seed", *seeds, "--engine", engine, "--store", store)
            report = command("report", "--store", store)
            again.add(
                f"{cells} cells",
                cached.machine_seconds / cells,
                **{"run, s": cached.machine_seconds, "report, s": report.machine_seconds},
            )


def test_images(tables: Tables, tmp_path: Path, largest: int) -> None:
    table = tables("bench run over one cell of many images in parts, --engine local: CPU time an image")
    for images in (1_000, 20_000 if largest >= SIZES[-1] else 4_000):
        options, store = drawn(tmp_path / f"{images}", images), tmp_path / f"store{images}"
        spent = command(*options, "--store", str(store))
        report = command("report", "--store", str(store))
        (cell,) = Store(store).manifests()
        records = Store(store).records(cell)
        table.add(
            f"{images} images",
            spent.machine_seconds / images,
            **{
                "peak RSS of a stage that refines, MiB": float(records["peak_rss_mb"].max()),
                "of one that makes maps": float(records["base_peak_rss_mb"].max()),
                "of the command": spent.peak_mib,
                "of bench report": report.peak_mib,
            },
        )
