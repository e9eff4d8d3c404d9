"""A cell that is computed in parts is the same one, whatever their size, and wherever they are computed."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

import bench
from bench.commands.run import RunResult
from bench.execution import stages
from bench.images import sampling
from bench.plugins import narrowing, variants
from bench.runtime.reading import digests_of
from bench.runtime.warden import HAS_WARDEN
from bench.store import Store
from tests.bench.conftest import Toy
from tests.bench.records import METRIC_COLUMNS


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(toy: Toy, store: str, **options: object) -> RunResult:
    dataset = toy.dataset.replace("]", ",val=0.3,test=0.7]")
    given = {"refiner": ["threshold", "calibration"], "engine": "inline", "device": "cpu", **options}
    return bench.run(dataset=[dataset], base=[toy.base], store=store, **given)  # type: ignore[arg-type]


def records(result: RunResult) -> dict[str, pd.DataFrame]:
    return {
        cell.manifest.key: result.store.records(cell.manifest)[["id", *METRIC_COLUMNS, "intersection", "union"]]
        for cell in result.cells
    }


def assert_same(one: RunResult, other: RunResult) -> None:
    left, right = records(one), records(other)
    assert left.keys() == right.keys()
    for key, frame in left.items():
        pd.testing.assert_frame_equal(frame, right[key], check_exact=True)


@pytest.mark.parametrize(
    "options",
    [
        {"shard": 1},
        {"shard": 3},
        {"shard": 6},
        {"shard": 3, "workers": 2},
        {"shard": 2, "engine": "local", "jobs": 2},
        {"shard": 2, "engine": "slurm", "slurm": ["cluster=debug"]},
    ],
    ids=str,
)
def test_the_records_are_those_of_a_cell_in_one_piece(toy: Toy, options: dict[str, object]) -> None:
    whole, parts = run(toy, "whole"), run(toy, "parts", **options)
    assert_same(parts, whole)
    remarks = [[cell.remarks for cell in result.store.manifests()] for result in (whole, parts)]
    assert remarks[0] == remarks[1]
    kinds = {cell.environment.get("process") for cell in parts.store.manifests()}
    assert kinds == {None if "engine" not in options else "forked" if HAS_WARDEN else "started"}
    left = Store("parts").objects
    assert left.names("parts/") == left.names("leases/") == [] and not list(Path("parts/work").iterdir())


def test_a_stopped_run_goes_on_with_the_parts_that_are_there(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is damaged meanwhile is computed again."""
    scored: list[str] = []
    score = stages._Scoring.__call__

    def counting(self: stages._Scoring, sample_id: str) -> dict[str, object]:
        if len(scored) == 5:
            raise KeyboardInterrupt
        scored.append(sample_id)
        return score(self, sample_id)

    monkeypatch.setattr(stages._Scoring, "__call__", counting)
    with pytest.raises(KeyboardInterrupt):
        run(toy, "store", refiner=["identity"], shard=2)
    first, second = Store("store").objects.names("parts/")
    path = Path("store", second)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    begun = len(scored)
    scored.clear()
    monkeypatch.setattr(stages._Scoring, "__call__", score)
    again = run(toy, "store", refiner=["identity"], shard=2)
    assert begun == 5 and first and len(again.cells) == 1
    assert_same(again, run(toy, "whole", refiner=["identity"]))


def test_another_size_of_parts_meanwhile(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    def stops(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr(stages, "_done", stops)
        with pytest.raises(KeyboardInterrupt):
            run(toy, "store", refiner=["identity"], shard=2)
    assert len(Store("store").objects.names("parts/")) == 4
    assert_same(run(toy, "store", refiner=["identity"], shard=3), run(toy, "whole", refiner=["identity"]))
    assert Store("store").objects.names("parts/") == []


def test_a_part_looks_at_no_file_of_another_one(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: Counter[Path] = Counter()

    def counting(paths: Sequence[Path]) -> dict[Path, bytes]:
        looked.update(paths)
        return digests_of(paths)

    monkeypatch.setattr(sampling, "SAMPLE", 1)
    for module in (variants, narrowing):
        monkeypatch.setattr(module, "digests_of", counting)
    shutil.copytree(toy.maps, "refined")
    refiners = ["identity", "refined[path=refined]", "threshold"]
    identity, refined, threshold = records(run(toy, "store", shard=1, refiner=refiners)).values()
    pd.testing.assert_frame_equal(refined, identity)
    assert len(threshold) == len(identity)  # what it was fitted to is in parts, too
    for folder in (toy.maps, Path("refined")):
        *others, telling = sorted(looked[path] for path in folder.iterdir())
        # When the run is planned, and when its own part is worked on; the one that tells how all are coded, always.
        assert max(others) <= 4 and telling >= 7


def test_force_computes_every_part_anew(toy: Toy) -> None:
    before = run(toy, "store", shard=3)
    after = run(toy, "store", shard=3, force=True)
    generations = {cell.refiner: cell.generation for cell in after.store.manifests()}
    assert generations == {"identity": 1, "threshold": 2, "calibration": 2}
    assert_same(before, after)
