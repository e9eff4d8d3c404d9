"""Where the tests find real data. A user has none of it: those tests then skip and say why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def _folder(variable: str, default: Path) -> Path:
    path = Path(os.environ.get(variable) or default)
    if not path.is_dir():
        pytest.skip(f"needs the project's reference data: set {variable} ({path} is absent)")
    return path.resolve()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with goldens/ and weights/."""
    return _folder("BENCH_SHARED", REPOSITORY.parent / "shared")


@pytest.fixture(scope="session")
def data(shared: Path) -> Path:
    """The folder with the real datasets, in the layouts they are distributed in."""
    return _folder("BENCH_DATA", shared / "data")
