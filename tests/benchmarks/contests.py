"""A row of the table: one piece of work, done by us and by what a user would run instead.

Both run in turn, in one fresh process and on one thread; the ratio of each round's CPU times is taken, and of these the
median and the quartiles, over the rounds of several processes. What others do on the machine lengthens both alike. A
second pass has all cores and takes wall time. Peak memory is that of a second call in a fresh process each, over what
was there before it.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
import torch

from bench.runtime.allocating import give_back
from tests.benchmarks.measuring import ALL_CORES, cpu_seconds, in_fresh_process, peak_growth_mib, threads

Job = Callable[[], Any]
Clock = Callable[[], float]
CLOCKS: dict[str, Clock | None] = {"cpu": cpu_seconds, "wall": time.perf_counter, "told": None}


class MissingError(Exception):
    """Why a contest cannot be held here: a peer that is not installed, data or a device that are not there."""


@dataclass(frozen=True)
class Jobs:
    """Both sides with their input in memory; a call of either does the whole work and returns its result.

    On a GPU a job ends with ``torch.cuda.synchronize()``.
    """

    peer: Job
    ours: Job


@dataclass(frozen=True, kw_only=True)
class Contest:
    """One row.

    Attributes:
        work: what is done.
        setting: size, kind of input, parameters.
        peer: what a user would run instead, by name.
        ours: our function or class.
        prepare: makes the input and the two jobs; a module's function or a partial of one, as fresh processes call it.
            Raises `MissingError` where it cannot, or ImportError for what is not installed.
        files: draws what ``prepare`` reads into an empty folder, once; ``prepare`` is then called with that folder.
        target: how many times as fast as the peer we want to be; None where the row only states it.
        keep: the target is what was there already.
        agree: `identical`, `Within` or a module's function: raises AssertionError where the two results,
            peer's and ours, are not what they should be to each other.
        agreement: the same in words; "" where nothing is compared.
        images: images that one call works on.
        rounds: of the alternating pass.
        processes: that share the rounds. Where an array happens to lie in memory can double a job's time as long as its
            process lives; only jobs of many seconds have one alone.
        clock: what the ratio is of: CPU time on one thread; wall time with all cores, for work of several processes or
            on a GPU; or the seconds an image that a job itself returns, where its start is not to count.
        device: "cuda" where the jobs need a GPU.
        memory: whether a fresh process of each can tell its peak: not where the work is done by processes below it.
        guard: the ratio below which CI fails; None for rows that CI does not run.
        note: what the row does, where that is not plain.
        missed: where the time goes, for a row that misses its target, and what the floor is.
    """

    work: str
    setting: str
    peer: str
    ours: str
    prepare: Callable[..., Jobs]
    files: Callable[[Path], object] | None = None
    target: float | None = None
    keep: bool = False
    agree: Callable[[Any, Any], None] | None = None
    agreement: str = ""
    images: int = 1
    rounds: int = 15
    processes: int = 3
    clock: Literal["cpu", "wall", "told"] = "cpu"
    device: Literal["cpu", "cuda"] = "cpu"
    memory: bool = True
    guard: float | None = None
    note: str = ""
    missed: str = ""

    def __str__(self) -> str:
        return f"{self.work}, {self.setting}, {self.peer}"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What was measured for a row; None where nothing was, and then ``missing`` says why.

    Attributes:
        name: the contest's, by which runs are compared.
        peer_ms, ours_ms: milliseconds an image: medians over rounds, by the contest's clock.
        ratio: median over rounds of the peer's time over ours.
        low, high: the quartiles of that.
        peer_wall_ms, ours_wall_ms: wall time with all cores, milliseconds an image, medians.
        peer_cores, ours_cores: CPU time over wall time in that pass: about 1 where a job has no parallelism.
        peer_mib, ours_mib: peak memory of a call over what was there before it.
        missing: why cells are empty.
    """

    name: str
    peer_ms: float | None = None
    ours_ms: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    rounds: int = 0
    peer_wall_ms: float | None = None
    ours_wall_ms: float | None = None
    peer_cores: float | None = None
    ours_cores: float | None = None
    peer_mib: float | None = None
    ours_mib: float | None = None
    missing: str = ""

    @classmethod
    def of_rounds(cls, name: str, peer: list[float], ours: list[float], images: int = 1, **more: Any) -> Entry:
        """From each round's seconds a call; for work that no `Contest` can express, e.g. a process for each round."""
        ratios = [theirs / own for theirs, own in zip(peer, ours, strict=True)]
        low, middle, high = map(float, np.percentile(ratios, [25, 50, 75]))
        more |= {"peer_ms": 1000 * median(peer) / images, "ours_ms": 1000 * median(ours) / images}
        return cls(name=name, ratio=middle, low=low, high=high, rounds=len(ratios), **more)


@dataclass(frozen=True)
class Effort:
    """How much a run takes: rounds and processes at most, about ``seconds`` of a side in each round, and whether other
    passes follow the first."""

    rounds: int
    seconds: float
    beside: bool
    processes: int = 3


WHOLE = Effort(rounds=1000, seconds=0.1, beside=True)
SHORT = Effort(rounds=7, seconds=0.02, beside=False, processes=1)
"""CI's: the ratios of CPU time alone."""


@dataclass
class _Times:
    """Seconds a call in each round, of the peer and of ours."""

    peer: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)

    def extend(self, other: _Times) -> None:
        self.peer += other.peer
        self.ours += other.ours


def hold(contest: Contest, folder: Path, effort: Effort = WHOLE) -> Entry:
    """Compare both results, then measure. An entry without numbers where something is missing.

    Args:
        folder: an empty one, for ``contest.files``.

    Raises:
        AssertionError: the results do not agree.
    """
    if contest.device == "cuda" and not torch.cuda.is_available():
        return Entry(name=str(contest), missing="no GPU that torch can use")
    rounds = min(contest.rounds, effort.rounds)
    found: dict[str, Any] = {}
    times, wall = _Times(), _Times()
    try:
        if contest.files:
            contest.files(folder)
        processes = min(contest.processes, effort.processes)
        for _ in range(processes):
            times.extend(in_fresh_process(_times, contest, folder, -(-rounds // processes), effort.seconds))
        if effort.beside and contest.clock == "cpu":
            wall, found = in_fresh_process(_with_all_cores, contest, folder, max(3, rounds // 3), effort.seconds)
            found["peer_wall_ms"] = 1000 * median(wall.peer) / contest.images
            found["ours_wall_ms"] = 1000 * median(wall.ours) / contest.images
        if effort.beside and contest.memory:
            for side in ("peer", "ours"):
                found[f"{side}_mib"] = in_fresh_process(_memory, contest, folder, side)
    except (MissingError, ImportError) as error:
        return Entry(name=str(contest), missing=str(error))
    return Entry.of_rounds(str(contest), times.peer, times.ours, contest.images, **found)


def _prepared(contest: Contest, folder: Path) -> Jobs:
    return contest.prepare(folder) if contest.files else contest.prepare()


def _times(contest: Contest, folder: Path, rounds: int, seconds: float) -> _Times:
    with threads(1 if contest.clock == "cpu" else ALL_CORES):
        jobs = _prepared(contest, folder)
        theirs, own = jobs.peer(), jobs.ours()
        if contest.agree:
            contest.agree(theirs, own)
        del theirs, own
        return _alternating(jobs, rounds, seconds, CLOCKS[contest.clock])


def _with_all_cores(contest: Contest, folder: Path, rounds: int, seconds: float) -> tuple[_Times, dict[str, float]]:
    with threads(ALL_CORES):
        jobs = _prepared(contest, folder)
        wall = _alternating(jobs, rounds, seconds, time.perf_counter)
        return wall, {"peer_cores": _cores(jobs.peer), "ours_cores": _cores(jobs.ours)}


def _cores(job: Job) -> float:
    """How many a call keeps busy that is not the first."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    while time.perf_counter() - wall < 0.05:
        job()
    return (cpu_seconds() - cpu) / (time.perf_counter() - wall)


def _memory(contest: Contest, folder: Path, side: str) -> float:
    with threads(1):
        job: Job = getattr(_prepared(contest, folder), side)
        job()  # what the first call imports and compiles is no part of the work
        give_back()
        return peak_growth_mib(job, contest.device)


def _alternating(jobs: Jobs, rounds: int, seconds: float, clock: Clock | None) -> _Times:
    """Who begins changes from round to round."""
    found = _Times()
    peer, ours = ((job, calls_in(job, seconds, clock)) for job in (jobs.peer, jobs.ours))
    for number in range(rounds):
        turns = [(found.peer, *peer), (found.ours, *ours)]
        for spent, job, calls in reversed(turns) if number % 2 else turns:
            spent.append(seconds_a_call(job, calls, clock))
    return found


def calls_in(job: Job, seconds: float, clock: Clock | None) -> int:
    """How many fill a round: one that is too short would measure the clock."""
    if clock is None:
        return 1
    return max(1, round(seconds / max(seconds_a_call(job, 1, clock), 1e-6)))


def seconds_a_call(job: Job, calls: int, clock: Clock | None) -> float:
    if clock is None:
        return float(job())
    gc.collect()
    gc.disable()
    try:
        begin = clock()
        for _ in range(calls):
            job()
        return (clock() - begin) / calls
    finally:
        gc.enable()


def identical(theirs: Any, own: Any) -> None:
    """Numbers, arrays, or sequences of them, bit for bit; NaN equals NaN."""
    np.testing.assert_array_equal(np.asarray(own), np.asarray(theirs))


@dataclass(frozen=True)
class Within:
    """Numbers or arrays, to an absolute tolerance."""

    tolerance: float

    def __call__(self, theirs: Any, own: Any) -> None:
        np.testing.assert_allclose(np.asarray(own), np.asarray(theirs), rtol=0, atol=self.tolerance)
