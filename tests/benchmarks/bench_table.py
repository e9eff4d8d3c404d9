"""The table of `tests.benchmarks.rows`: what a user would run instead, and we; with ``--short`` CI's part of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.conftest import Measured
from tests.benchmarks.contests import SHORT, WHOLE, Contest, Entry, hold
from tests.benchmarks.rows import TABLE


@pytest.mark.parametrize("contest", TABLE, ids=str)
def test_row(contest: Contest, short: bool, measured: Measured, tmp_path: Path) -> None:
    try:
        entry = hold(contest, tmp_path, SHORT if short else WHOLE)
    except Exception as error:
        # No row is left out, whatever becomes of it.
        measured.entries.append(Entry(name=str(contest), missing=f"failed: {type(error).__name__}"))
        raise
    measured.entries.append(entry)
    if entry.missing:
        pytest.skip(entry.missing)
    if short and contest.guard is not None:
        assert entry.ratio is not None and entry.ratio >= contest.guard, f"{contest}: slower than its bound"
