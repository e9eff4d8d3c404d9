"""A small whole store, made once, of which a file is damaged: what the kinds of a store share."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

import bench
from bench.store import Learned, Manifest, MapCache, Store
from tests.bench.store.test_cells import manifest, records
from tests.fuzz.damage import damaged
from tests.fuzz.harness import UnfitError, asked

MAPS = "bases/b/maps-p"


@cache
def whole() -> Path:
    """A store with two finished cells and a failed one, maps in two shards, a tuned refiner and a lease."""
    folder = Path(mkdtemp(prefix="fuzz-store-")) / "store"
    store = Store(folder)
    for key in "kl":
        finished = manifest(key=key * 32, refiner=key, generation=1, identity={"test": "files", "base": {"base": {}}})
        store.add(finished, records(*(f"{key}{number}" for number in range(4))))
    store.enter(manifest(key="m" * 32, refiner="m", status="failed", error="no"))
    maps = MapCache(store.objects, MAPS, [f"s{number}" for number in range(4)])
    for number in range(4):
        maps.add(f"s{number}", np.full((5, 4 + number), number / 4, np.float32), {"seconds": float(number)})
        if number % 2:
            maps.flush()
    store.write_episodes("b", "p", {"hash": "h", "episodes": {"a": ["b"]}})
    work = folder / "work" / "fit-f.t"
    work.mkdir(parents=True)
    (work / "threshold.json").write_text('{"threshold": 0.3}')
    Learned(work).keep_tuned({"parameters": {"a": 1}, "score": 0.5})
    Learned(work).finish(1.5, refiner="r", identity="i")
    store.objects.publish(work, "refiners/f")
    assert store.leases.take("cell-x") is not None
    return folder


def hurt(*patterns: str) -> Callable[[random.Random, Path], Path]:
    """Makes a copy of the store, one of its files that match a pattern damaged."""

    def make(rng: random.Random, folder: Path) -> Path:
        store = folder / "store"
        shutil.copytree(whole(), store)
        file = rng.choice([file for pattern in patterns for file in sorted(store.glob(pattern))])
        file.write_bytes(damaged(file.read_bytes(), rng))
        return store

    return make


def told(folder: Path) -> dict[str, Any]:
    """What a store says by its public doors, without what it refuses."""
    store = Store(folder)
    found: dict[str, Any] = {}

    def put(name: str, value: Callable[..., Any], *given: Any) -> None:
        asked(lambda: found.update({name: value(*given)}))

    def again(cell: Manifest) -> dict[str, Any] | None:
        same = store.find(cell)
        return same.model_dump() if same is not None else None

    for cell in store.readable()[0]:
        found[cell.key] = cell.model_dump()
        if cell.status == "done":
            put(f"records of {cell.key}", lambda one: store.records(one).to_json(double_precision=15), cell)
            put(f"again {cell.key}", again, cell)
    maps = MapCache(store.objects, MAPS)
    for name in ("s0", "s1", "s2", "s3"):
        put(f"map {name}", lambda one: (maps[one].tolist(), maps.cost(one)), name)
    learned = store.fitted_refiner("f").find()
    if learned is not None:
        put("finished", lambda: learned.finished)
        put("tuned", lambda: learned.tuned)
    return {name: value for name, value in json.loads(json.dumps(found)).items() if value is not None}


@cache
def expected() -> dict[str, Any]:
    """What the whole store says."""
    return told(whole())


def door(folder: Path) -> bool:
    """True where a store is read as it was. Else it says less and nothing else, and that something is damaged."""
    said, damages = told(folder), bench.check_store(folder)
    wrong = [name for name, value in said.items() if value != expected().get(name)]
    lost = expected().keys() - said.keys()
    if wrong or (lost and not damages):
        raise UnfitError(f"other numbers: {wrong}; lost: {lost}; damages: {damages}")
    if not all(f"{damage.what} {damage.where}".isprintable() for damage in damages):
        raise UnfitError(f"more than a line: {damages}")
    asked(lambda: bench.load(folder).table())
    bench.collect_garbage(folder, dry_run=True)
    Store(folder).leases.take("cell-x")
    Store(folder).tidy()
    return not damages
