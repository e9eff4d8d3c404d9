"""Where the time of two commands goes: of ``bench run`` on real images, and of ``bench score`` on many small maps."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.conftest import Tables
from tests.benchmarks.contests import MissingError
from tests.benchmarks.profiling import profiled
from tests.benchmarks.rows import scoring
from tests.benchmarks.rows.examples import shared
from tests.conftest import REPOSITORY

IMAGES = 100
REFINERS = ("threshold", "morphology", "guided-filter", "image-threshold")
ROUNDS = 3


def tabled(tables: Tables, title: str, *rounds: dict[str, float]) -> None:
    """Of each area the round in which the command took the median of all rounds."""
    middle = sorted(rounds, key=lambda found: sum(found.values()))[len(rounds) // 2]
    total = sum(middle.values())
    table = tables(f"Profile: {title}; wall time of one process")
    for name, seconds in middle.items():
        table.rows.append({"area": name, "seconds": round(seconds, 2), "share": f"{100 * seconds / total:.0f} %"})


def test_run(tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        data = shared("BENCH_DATA", REPOSITORY.parent / "shared" / "data")
    except MissingError as error:
        pytest.skip(str(error))
    monkeypatch.setenv("BENCH_DATA", str(data))
    maps = f"maps[path={data / 'maps' / 'ecssd-u2net'}]"
    options = ["--dataset", "ecssd", "--base", maps, "--limit", str(IMAGES)]
    options += ["--refiner", "identity", *REFINERS, "--engine", "inline", "--device", "cpu"]
    rounds = [profiled("run", *options, "--store", str(tmp_path / str(number))) for number in range(ROUNDS)]
    tabled(tables, f"bench run on {IMAGES} test images of ECSSD, {', '.join(REFINERS)}", *rounds)


def test_score(tables: Tables, tmp_path: Path) -> None:
    scoring.draw(tmp_path)
    options = ["score", "--masks", str(tmp_path / "masks"), "--maps", str(tmp_path / "maps"), "--workers", "1"]
    title = f"bench score of {scoring.MAPS:,} maps of {scoring.SIDE}x{scoring.SIDE}"
    tabled(tables, title, *(profiled(*options) for _ in range(ROUNDS)))
