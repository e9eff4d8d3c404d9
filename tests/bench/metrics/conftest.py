"""The reference set's pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.bench.metrics.pairs import Pair


@pytest.fixture(scope="package")
def pairs(shared: Path) -> list[Pair]:
    """All of them, with the values that the metrics' own authors' code gave."""
    found = []
    for _, row in pd.read_csv(shared / "goldens" / "expected.csv").iterrows():
        with np.load(shared / "goldens" / "pairs" / f"{row['name']}.npz") as arrays:
            probs = (arrays["prob"] / 255).astype(np.float32)
            found.append(Pair(str(row["name"]), probs, arrays["gt"].astype(bool), row))
    assert len(found) == 34
    return found
