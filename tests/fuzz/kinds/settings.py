"""``bench.toml``: damaged text, and sound TOML of keys and values at random."""

from __future__ import annotations

import random
from pathlib import Path

from bench.config import Grid, load
from bench.plugins.entry_points import check_parameters
from tests.conftest import REPOSITORY
from tests.fuzz.damage import damaged
from tests.fuzz.harness import Kind, asked

SOUND = (REPOSITORY / "bench.toml").read_bytes()
KEYS = (
    *("defaults", "data", "datasets", "parameters", "variants", "ledger", "experiments", "root", "store", "seed"),
    *("dataset", "base", "refiner", "metric", "limit", "device", "workers", "parts", "about", "tune", "prn", "x y"),
)
VALUES = (
    *('""', '"x"', "0", "-1", "1e400", "nan", "2" * 400, "true", "[]", "[[]]", "{}", "1979-05-27", '["A", 3]'),
    *('"\\u0000"', '"' + "a" * 5000 + '"', "[" * 200 + "]" * 200, '{a.b.c = "d"}', '"prn[size=]"', "'s3://k:s@b'"),
)


def make(rng: random.Random, folder: Path) -> Path:
    path = folder / "bench.toml"
    if rng.random() < 0.5:
        path.write_bytes(damaged(SOUND, rng))
        return path
    lines = []
    for _ in range(rng.randrange(1, 8)):
        if rng.random() < 0.5:
            lines.append(f"[{'.'.join(map(_key, rng.sample(KEYS, rng.randrange(1, 4))))}]")
        lines.append(f"{_key(rng.choice(KEYS))} = {rng.choice(VALUES)}")
    path.write_text("\n".join(lines))
    return path


def _key(name: str) -> str:
    return f'"{name}"' if " " in name else name


def door(path: Path) -> bool:
    def read() -> None:
        settings = load(path)
        check_parameters(settings)
        for name in settings.experiments:
            asked(lambda name=name: settings.grids(name, Grid()))  # type: ignore[misc]

    return asked(read)


KIND = Kind(400, make, door)
