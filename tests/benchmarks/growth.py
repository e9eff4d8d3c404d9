"""How work grows: the times of four sizes, and the exponent that fits them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.contests import calls_in, seconds_a_call
from tests.benchmarks.measuring import Fit, cpu_seconds, fitted, in_fresh_process, threads
from tests.benchmarks.results import number

Job = Callable[[], Any]
BOUNDS = (0.9, 1.1)
SECONDS = 0.05
"""Of each size in a round, if one call does not take longer."""


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Work of growing sizes.

    Attributes:
        work: what is done.
        unit: what is counted: "pixel" where a size is the side of an image, else what there are ``size`` of.
        sizes: four or more.
        job: makes, in a folder of its own, what is to be done for a size; a module's function or a partial of one.
        start: the smallest size is only what a start takes: its seconds and its count are taken off the others.
        rounds: in each of which every size has its turn.
        note: what the row does, where that is not plain.
    """

    work: str
    unit: str
    sizes: Sequence[int]
    job: Callable[[int, Path], Job]
    start: int | None = None
    rounds: int = 5
    note: str = ""

    def __str__(self) -> str:
        return self.work


@dataclass(frozen=True)
class Grown:
    """CPU seconds on one thread by size, medians over rounds, and how they grow over the counts; 1 is linear."""

    counts: list[int]
    seconds: list[float]
    fit: Fit


def grown(growth: Growth, folder: Path) -> Grown:
    """Measure, in a fresh process."""
    sizes = [*([growth.start] if growth.start else []), *growth.sizes]
    seconds = in_fresh_process(_measured, growth, sizes, folder)
    counts = [size**2 if growth.unit == "pixel" else size for size in sizes]
    if growth.start:
        seconds = [spent - seconds[0] for spent in seconds[1:]]
        counts = [count - counts[0] for count in counts[1:]]
    return Grown(counts, seconds, fitted(counts, seconds))


def _measured(growth: Growth, sizes: Sequence[int], folder: Path) -> list[float]:
    with threads(1):
        jobs = []
        for size in sizes:
            (own := folder / str(size)).mkdir()
            jobs.append(growth.job(size, own))
        for job in jobs:
            job()
        turns = [(job, calls_in(job, SECONDS, cpu_seconds)) for job in jobs]
        rounds = [[seconds_a_call(*turn, cpu_seconds) for turn in turns] for _ in range(growth.rounds)]
    return [median(spent) for spent in zip(*rounds, strict=True)]


def row(growth: Growth, found: Grown) -> dict[str, str]:
    """As a table shows it."""
    per, unit = (1e9, "ns") if growth.unit == "pixel" else (1e3, "ms")
    each = [number(per * spent / count) for spent, count in zip(found.seconds, found.counts, strict=True)]
    low, high = BOUNDS
    return {
        "work": growth.work,
        "sizes": ", ".join(f"{size}x{size}" if growth.unit == "pixel" else f"{size:,}" for size in growth.sizes),
        "ms": ", ".join(number(1000 * spent) for spent in found.seconds),
        "each": f"{', '.join(each)} {unit} a{'n' * (growth.unit[0] in 'aeiou')} {growth.unit}",
        "exponent": f"{found.fit.exponent:.2f} ({found.fit.low:.2f} to {found.fit.high:.2f})",
        "within 0.9..1.1": "yes" if low <= found.fit.exponent <= high else "**no**",
        "note": growth.note,
    }
