"""How long work will take, by what the same work took before in the same store; what was never measured is unknown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from bench.execution.costs import Costs, Measured, Need
from bench.execution.stages import BY_IMAGE, Does
from bench.runtime.wording import counted

PIECES: dict[Does, str] = {"train": "training", "fit": "fit"}
"""What is done in one piece, and what that is called."""


@dataclass
class Line:
    """The work of one kind, of one base or refiner on one dataset.

    Attributes:
        stages: how many; `unknown` of them were never measured.
        images: of the measured ones; 0 for trainings.
        seconds: wall time of the measured ones, one after another.
        longest: of the measured ones.
        busy: seconds that their processors are at work, those of all workers; on ``device``.
        rests_on: the cells or trainings that it was measured on.
        besides: see `Measured`.
    """

    does: Does
    dataset: str
    whose: str
    device: str = ""
    stages: int = 0
    unknown: int = 0
    images: int = 0
    seconds: float = 0.0
    longest: float = 0.0
    busy: float = 0.0
    rests_on: set[str] = field(default_factory=set)
    besides: set[str] = field(default_factory=set)

    def add(self, need: Need, measured: Measured | None) -> None:
        """Take in one stage."""
        self.stages += 1
        images = need.images if need.does in BY_IMAGE else 1
        if measured is None or images is None:
            self.unknown += 1
            return
        self.device = measured.device
        self.images += images if need.does in BY_IMAGE else 0
        seconds = (measured.start + measured.seconds * images) * need.left
        self.seconds += seconds
        self.longest = max(self.longest, seconds / need.at_once)
        self.busy += seconds * need.workers
        self.rests_on |= set(measured.names)
        self.besides |= {measured.besides} - {""}

    @property
    def basis(self) -> str:
        """What it rests on, in words."""
        if not self.rests_on:
            return "never measured here"
        return "; ".join([counted(len(self.rests_on), PIECES.get(self.does, "cell")), *sorted(self.besides)])


@dataclass(frozen=True)
class Estimate:
    """What work will take.

    Attributes:
        lines: the longest first, then those of which nothing is known.
        jobs: stages side by side; None where nobody knows.
    """

    lines: tuple[Line, ...]
    jobs: int | None

    @classmethod
    def of(cls, needs: Iterable[Need], costs: Costs, jobs: int | None) -> Estimate:
        """Of all these."""
        lines: dict[tuple[str, ...], Line] = {}
        for need in needs:
            key = need.does, need.cell.dataset, need.whose
            line = lines.setdefault(key, Line(need.does, need.cell.dataset, need.whose))
            line.add(need, costs.of(need))
        return cls(tuple(sorted(lines.values(), key=lambda line: -line.seconds)), jobs)

    @property
    def unknown(self) -> int:
        """Stages that were never measured: no number here has them."""
        return sum(line.unknown for line in self.lines)

    @property
    def known(self) -> int:
        """Stages that the numbers are of."""
        return sum(line.stages for line in self.lines) - self.unknown

    @property
    def seconds(self) -> float:
        """Wall time of the measured stages, one after another."""
        return sum(line.seconds for line in self.lines)

    @property
    def wall(self) -> float | None:
        """Wall time of the measured stages, `jobs` of them side by side; None where nobody knows how many.

        It is at least that of the longest one. That some wait for others is not in it.
        """
        longest = max((line.longest for line in self.lines), default=0.0)
        return max(self.seconds / self.jobs, longest) if self.jobs else None

    def busy(self, device: str) -> float:
        """Seconds that a kind of device is at work."""
        return sum(line.busy for line in self.lines if line.device == device)
