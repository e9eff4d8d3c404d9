"""Several runs that share one store: each cell is computed once, all end well, and the store is that of a lone run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter

import pandas as pd
import pytest

import bench
from bench.store import RUNS, Store
from tests.bench.conftest import Toy
from tests.bench.records import METRIC_COLUMNS

BASES = ("maps[path=maps]", "maps[path=maps,scale=65535]")
REFINERS = ("threshold", "morphology", "guided-filter", "morphology[open=1]")
GRIDS: dict[str, list[tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "equal": [(BASES, REFINERS)] * 4,
    "overlapping": [(BASES, REFINERS[::-1]), (BASES[1:], REFINERS), (BASES, REFINERS[1:]), (BASES[::-1], REFINERS[:2])],
}

WRITER = """
import json, sys, time
from pathlib import Path
import bench

number, rounds, address, engine = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
dataset, bases, refiners = json.loads(sys.argv[5])
for turn in range(rounds):
    Path(f"ready-{turn}-{number}").touch()
    while len(list(Path().glob(f"ready-{turn}-*"))) < 4:
        time.sleep(0.002)
    print(f"turn {turn}", file=sys.stderr, flush=True)
    result = bench.run(
        dataset=[dataset], base=bases, refiner=refiners, store=f"{address}{turn}", device="cpu", engine=engine
    )
    assert not result.failures and len(result.cells) == (len(refiners) + 1) * len(bases), result.failures
"""


def numbers(address: str) -> dict[tuple[str, str], pd.DataFrame]:
    """What the finished cells hold, but for what was measured."""
    store = Store(address)
    assert all(cell.status == "done" for cell in store.manifests())
    return {(cell.base, cell.refiner): store.records(cell)[["id", *METRIC_COLUMNS]] for cell in store.manifests()}


def contents(address: str) -> list[str]:
    """The names of all in a store but logs, without numbers of generations and digests of what tells seconds."""
    objects = Store(address).objects
    names, folders = [], [""]
    while folders:
        folder = folders.pop()
        folders += [name for name in objects.folders(folder) if name != RUNS]
        names += objects.names(f"{folder}/" if folder else "")
    return sorted(re.sub(r"\.\d+\.(json|parquet)$|(?<=^blobs/).*", "", name) for name in names)


@pytest.mark.parametrize(
    ("grids", "rounds", "engine"),
    [
        ("overlapping", 1, "inline"),
        pytest.param("equal", 20, "inline", marks=pytest.mark.slow),
        pytest.param("overlapping", 20, "inline", marks=pytest.mark.slow),
        pytest.param("equal", 2, "local", marks=pytest.mark.slow),
    ],
)
def test_four_writers(
    toy: Toy, address: str, grids: str, rounds: int, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(toy.images.parent)
    dataset = "folder[images=images,masks=masks]"
    options = {"base": list(BASES), "refiner": list(REFINERS), "dataset": [dataset]}
    bench.run(**options, store=f"{address}lone", device="cpu", engine="inline")  # type: ignore[arg-type]
    expected = numbers(f"{address}lone")
    writers = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                WRITER,
                str(n),
                str(rounds),
                address,
                engine,
                json.dumps([dataset, *grid]),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        for n, grid in enumerate(GRIDS[grids])
    ]
    said = [writer.communicate()[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 4, "\n".join(said)
    for turn in range(rounds):
        done = Counter(
            line
            for log in said
            for line in log.split(f"turn {turn}\n")[1].split(f"turn {turn + 1}\n")[0].splitlines()
            if line.startswith("bench: done: ")
        )
        assert set(done.values()) == {1} and len(done) == len(expected)
        found = numbers(f"{address}{turn}")
        assert found.keys() == expected.keys()
        for name, frame in expected.items():
            pd.testing.assert_frame_equal(found[name], frame, check_exact=True)
        assert contents(f"{address}{turn}") == contents(f"{address}lone")
