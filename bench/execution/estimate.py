"""How long work will take, by what the same work took before in the same store; what was never measured is unknown.

A cell is taken for as long as its stage was, start and scoring included, where a log of a run tells that, and else for
its refiner's own seconds, which its records have. Each number says how many cells or trainings it rests on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypeGuard

from bench.contracts import UserError
from bench.execution.run_log import DONE, LoggedRun
from bench.execution.stages import BY_IMAGE, OF_BASES, Does
from bench.plugins.variants import digest
from bench.runtime.wording import counted
from bench.store import Manifest, Store, cell_task, maps_task
from bench.store.manifest import LAYOUT

LOOKED_AT = 3
"""Cells, the latest, whose records are read for one number."""

PIECES: dict[Does, str] = {"train": "training", "fit": "fit"}
"""What is done in one piece, and what that is called."""


@dataclass(frozen=True)
class Need:
    """Work that is to be done.

    Attributes:
        cell: one that needs it.
        device: ``"cpu"`` or ``"cuda"``; ``"auto"`` where the machine that it will run on is not known.
        images: of what is done image by image; None where that is not known.
        workers: processes that the images are spread over.
        left: share of it that is to be done, 0..1.
    """

    does: Does
    cell: Manifest
    device: str
    images: int | None = None
    workers: int = 1
    left: float = 1.0

    @property
    def whose(self) -> str:
        """The base or the refiner that it is the work of."""
        return self.cell.base if self.does in OF_BASES else self.cell.refiner


@dataclass(frozen=True)
class Measured:
    """What such work took.

    Attributes:
        seconds: wall time of an image, or of a training.
        start: wall time of a stage before its first image.
        device: where.
        names: of the cells or trainings that it was measured on.
        besides: how these differ from what is asked for, and what the number leaves out, in words; "" where neither.
    """

    seconds: float
    start: float
    device: str
    names: tuple[str, ...]
    besides: str = ""


class _Took(NamedTuple):
    """Seconds of an image, or of a training; and of a stage's start, 0 where they are not known."""

    seconds: float
    start: float = 0.0


class Costs:
    """What was measured in a store.

    Args:
        manifests: of all its cells.
        logs: of its runs, the latest first.
    """

    def __init__(self, store: Store, manifests: Iterable[Manifest], logs: Sequence[LoggedRun]) -> None:
        self._store, self._logs = store, logs
        self._cells: dict[tuple[Any, ...], list[Manifest]] = defaultdict(list)
        self._images: dict[str, int] = {}
        self._means: dict[str, dict[str, float]] = {}
        self._known: dict[tuple[Any, ...], Measured | None] = {}
        for cell in manifests:
            if cell.status == "done" and cell.layout >= LAYOUT - 1:
                self._images[cell.identity["test"]] = cell.images
                for kind in ("refine", "maps", "fit", "train"):
                    for level in _levels(kind, cell):
                        self._cells[kind, cell.environment.get("device"), *level].append(cell)
        for cells in self._cells.values():
            cells.sort(key=lambda cell: (cell.generation, cell.written), reverse=True)

    def images(self, cell: Manifest) -> int | None:
        """How many test images a cell has that others have been finished on; None where none has."""
        return self._images.get(cell.identity["test"])

    def of(self, need: Need) -> Measured | None:
        """What such work took; None where that was never measured."""
        kind = {"val maps": "maps", "test maps": "maps", "pictures": "refine"}.get(need.does, need.does)
        levels = list(_levels(kind, need.cell))
        key = kind, need.device, need.workers, levels[0]
        if key not in self._known:
            self._known[key] = self._found(kind, levels, need)
        return self._known[key]

    def _found(self, kind: str, levels: Sequence[tuple[str, ...]], need: Need) -> Measured | None:
        measure: Callable[[Sequence[Manifest], str, Need], Measured | None] = getattr(self, f"_{kind}")
        for level in levels:
            for device in ("cuda", "cpu") if need.device == "auto" else (need.device,):
                cells = self._cells.get((kind, device, *level), ())
                if cells and (found := measure(cells, level[0], need)) is not None:
                    return found
        return None

    def _refine(self, cells: Sequence[Manifest], otherwise: str, need: Need) -> Measured | None:
        def workers(cell: Manifest) -> int:
            return int(cell.environment.get("workers", 1))

        alike = [cell for cell in cells if workers(cell) == need.workers]
        found = list(self._logged(alike, cell_task))
        if not found:
            found = [(cell, _Took(mean / need.workers)) for cell, mean in self._recorded(cells, "seconds")]
            otherwise = _also(otherwise, "the refiner's own time, without start and scoring")
        return _mean(found, otherwise)

    def _maps(self, cells: Sequence[Manifest], otherwise: str, need: Need) -> Measured | None:
        found = list(self._logged(cells, _maps_task))
        if not found:
            found = [(cell, _Took(mean)) for cell, mean in self._recorded(cells, "base_seconds")]
            otherwise = _also(otherwise, "the base's own time, without start and reading")
        return _mean(found, otherwise)

    def _fit(self, cells: Sequence[Manifest], otherwise: str, need: Need) -> Measured | None:
        found = {cell.identity["fit"]: cell for cell in cells if cell.fit_seconds is not None}
        return _mean([(cell, _Took(float(cell.fit_seconds or 0))) for cell in found.values()], otherwise)

    def _train(self, cells: Sequence[Manifest], otherwise: str, need: Need) -> Measured | None:
        trained: dict[str, Manifest] = {}
        for cell in cells:
            trained.setdefault(digest(cell.identity["base"]), cell)
        found = []
        for key, cell in list(trained.items())[:LOOKED_AT]:
            training = self._store.trained_base(key).find()
            if training is not None and (finished := training.finished) is not None:
                found.append((cell, _Took(float(finished["seconds"]))))
        return _mean(found, otherwise)

    def _logged(self, cells: Sequence[Manifest], task: Callable[[Manifest], str]) -> Iterator[tuple[Manifest, _Took]]:
        """The wall time of an image in a stage, of the latest cells of which a log tells it; each stage once."""
        by_task = {task(cell): cell for cell in reversed(cells) if task(cell) in self._walls}
        for name, cell in list(by_task.items())[-LOOKED_AT:]:
            yield cell, self._walls[name]

    def _recorded(self, cells: Sequence[Manifest], column: str) -> Iterator[tuple[Manifest, float]]:
        """The mean over a cell's images, of the latest cells that have it."""
        for cell in cells[:LOOKED_AT]:
            if cell.file not in self._means:
                try:
                    records = self._store.records(cell)
                except UserError:
                    continue  # damaged: whoever reads it for its numbers says so
                self._means[cell.file] = {name: float(records[name].mean()) for name in ("seconds", "base_seconds")}
            if (mean := self._means[cell.file][column]) == mean:  # NaN: measured elsewhere
                yield cell, mean

    @cached_property
    def _walls(self) -> dict[str, _Took]:
        """What the stages took that logs tell of, by their tasks; of one task the latest."""
        found: dict[str, _Took] = {}
        for run in self._logs:
            for stage in reversed(run.stages):
                seconds, images, each = (stage.get(key) for key in ("seconds", "images", "each"))
                if stage.get("outcome") == DONE and _is_number(seconds) and _is_number(images) and _is_number(each):
                    found.setdefault(str(stage.get("task")), _Took(each, max(seconds - each * images, 0.0)))
        return found


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
        self.longest = max(self.longest, seconds)
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


def _levels(kind: str, cell: Manifest) -> Iterator[tuple[str, ...]]:
    """What has to be the same for a cell to be measured by another; the nearest first, each with how they differ."""
    refiner, base, data = (digest(cell.variant(kind)) for kind in ("refiner", "base", "dataset"))
    if kind == "train":
        training = {key: value for key, value in cell.identity["base"].items() if key != "seed"}
        yield "", digest(training)
    elif kind == "maps":
        yield "", base, data
        yield "on other data", base
    elif kind == "fit":  # takes as long as it has images to learn from
        learnt_from = cell.identity["test"], str(cell.limit)
        yield "", refiner, base, *learnt_from
        yield "on other bases", refiner, *learnt_from
    else:
        yield "", refiner, base, data
        yield "on other bases", refiner, data
        yield "on other data", refiner


def _mean(found: Sequence[tuple[Manifest, _Took]], besides: str) -> Measured | None:
    if not found:
        return None
    seconds, start = (sum(values) / len(found) for values in zip(*(took for _, took in found), strict=True))
    cells = [cell for cell, _ in found]
    device = str(cells[0].environment.get("device", ""))
    return Measured(seconds, start, device, tuple(cell.key for cell in cells), besides)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float)


def _also(besides: str, more: str) -> str:
    return "; ".join(filter(None, (besides, more)))


def _maps_task(cell: Manifest) -> str:
    return maps_task(digest(cell.identity["base"]), cell.identity["test"])
