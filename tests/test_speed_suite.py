"""The speed suite itself: what it measures of jobs whose cost is known, what it keeps, and the page that it writes."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed: the speed extra")

from tests.benchmarks import page
from tests.benchmarks.contests import (
    SHORT,
    Contest,
    Effort,
    Entry,
    Jobs,
    MissingError,
    Within,
    hold,
    identical,
)
from tests.benchmarks.measuring import exponent, fitted
from tests.benchmarks.results import Run, Table, changes
from tests.benchmarks.rows import TABLE

QUICK = Effort(rounds=3, seconds=0.001, beside=True, processes=1)


def busy(seconds: float) -> float:
    """Takes that long of CPU time."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass
    return seconds


def busy_jobs(peer: float, ours: float) -> Jobs:
    return Jobs(partial(busy, peer), partial(busy, ours))


def filling_jobs() -> Jobs:
    return Jobs(lambda: np.ones(40 * 2**20, np.uint8), lambda: np.ones(8, np.uint8))


def told_jobs() -> Jobs:
    return Jobs(lambda: 6.0, lambda: 2.0)


def missing_jobs() -> Jobs:
    raise MissingError("no such data")


def written(folder: Path) -> None:
    (folder / "seconds").write_text("0.002")


def jobs_of_file(folder: Path) -> Jobs:
    seconds = float((folder / "seconds").read_text())
    return busy_jobs(2 * seconds, seconds)


def contest(**fields: object) -> Contest:
    given = {"work": "waiting", "setting": "a test", "peer": "slow", "ours": "busy", "memory": False}
    return Contest(**(given | fields))  # type: ignore[arg-type]


def test_the_ratio_is_of_cpu_time_in_alternating_rounds(tmp_path: Path) -> None:
    found = hold(contest(prepare=partial(busy_jobs, 0.009, 0.003), images=3), tmp_path, QUICK)
    assert found.ratio == pytest.approx(3, rel=0.3) and found.rounds == 3
    assert found.ratio and found.low and found.high and found.low <= found.ratio <= found.high
    assert found.peer_ms == pytest.approx(3, rel=0.3) and found.ours_ms == pytest.approx(1, rel=0.3)
    assert found.ours_wall_ms is not None and found.ours_wall_ms >= 0.9
    assert found.missing == ""


def test_memory_is_that_of_one_side_alone(tmp_path: Path) -> None:
    found = hold(contest(prepare=filling_jobs, memory=True), tmp_path, QUICK)
    assert found.peer_mib is not None and found.ours_mib is not None
    assert found.peer_mib > 35 and found.ours_mib < 10


def test_jobs_may_tell_their_own_seconds(tmp_path: Path) -> None:
    found = hold(contest(prepare=told_jobs, clock="told"), tmp_path, QUICK)
    assert found.ratio == found.low == found.high == 3 and found.peer_ms == 6000


def test_files_are_drawn_before(tmp_path: Path) -> None:
    found = hold(contest(prepare=jobs_of_file, files=written), tmp_path, QUICK)
    assert found.ratio == pytest.approx(2, rel=0.4)


def test_what_is_missing_leaves_an_empty_row(tmp_path: Path) -> None:
    found = hold(contest(prepare=missing_jobs), tmp_path, SHORT)
    assert found.missing == "no such data" and found.ratio is None


@pytest.mark.parametrize("agree", [identical, Within(0.001)])
def test_results_that_differ_are_no_contest(tmp_path: Path, agree: object) -> None:
    with pytest.raises(AssertionError):
        hold(contest(prepare=partial(busy_jobs, 0.003, 0.001), agree=agree), tmp_path, QUICK)


def test_exponents() -> None:
    counts = [10, 20, 40, 80]
    fit = fitted(counts, [0.5 * count**1.5 for count in counts])
    assert fit.low == pytest.approx(fit.exponent) == pytest.approx(1.5) == pytest.approx(fit.high)
    assert exponent((1 + 0.1 * 100, 110), (1 + 0.1 * 1000, 1010), (1, 10)) == pytest.approx(1)


def test_every_row_has_a_name_of_its_own() -> None:
    names = [str(contest) for contest in TABLE]
    assert len(set(names)) == len(names)
    guarded = [contest for contest in TABLE if contest.guard is not None]
    assert guarded and all(contest.clock == "cpu" and "golden" not in contest.setting for contest in guarded)


def run(**fields: object) -> Run:
    first, second = TABLE[:2]
    entries = [
        Entry.of_rounds(str(first), [0.4, 0.2, 0.3], [0.1, 0.1, 0.1]),
        Entry(name=str(second), missing="no such data"),
    ]
    tables = [Table("a table", [{"contestant": "one", "ms": 1.5}])]
    given = {"date": "2027-01-02", "command": "pytest", "machine": {"cpu": "a CPU"}, "versions": {"numpy": "2"}}
    return Run(**(given | {"entries": entries, "tables": tables} | fields))  # type: ignore[arg-type]


def test_runs_are_kept_and_compared(tmp_path: Path) -> None:
    before = run()
    before.write(tmp_path / "new" / "a.json")
    assert Run.read(tmp_path / "new" / "a.json") == before
    after = run(date="2027-02-03", entries=[Entry.of_rounds(str(TABLE[0]), [0.6], [0.1])])
    first, second = changes(before, after)
    assert (first["ratio 2027-01-02"], first["ratio 2027-02-03"], first["change"]) == pytest.approx((3, 6, 2))
    assert second == {"row": str(TABLE[1]), "ratio 2027-01-02": None, "ratio 2027-02-03": None, "change": None}


def test_the_page_leaves_no_row_out_and_takes_later_files_where_the_first_is_empty(tmp_path: Path) -> None:
    filled = run(entries=[Entry.of_rounds(str(TABLE[1]), [0.7], [0.1])])
    text = page.page({"a.json": run(), "b.json": filled}, before=run())
    lines = [line for line in text.split("## With all cores")[0].splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(TABLE)
    assert "3x (2.5 to 3.5)" in lines[2] and "7x (7 to 7)" in lines[3] and "not run" in lines[4]
    assert "kept in `a.json`" in text and "Before:" in text and "## A table" in text


def test_the_page_is_what_the_kept_runs_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page.PAGE.read_text()
    monkeypatch.chdir(page.REPOSITORY)
    arguments = text.splitlines()[0].removeprefix(f"<!-- {page.GENERATED}").removesuffix(" -->").split()
    assert page.main([*arguments, "--out", str(tmp_path / "page.md")]) == 0
    assert (tmp_path / "page.md").read_text() == text, "run its first line's command again"
