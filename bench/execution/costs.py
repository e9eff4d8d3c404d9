"""What work took that was done before in a store: the only thing that the time of other work is judged by.

Stages that are done image by image take what the logs of runs tell, start and scoring included, and where none does the
base's or refiner's own seconds, which the records of cells have.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeGuard

from bench.contracts import UserError
from bench.execution.run_log import DONE, LoggedRun
from bench.execution.stages import OF_BASES, Does
from bench.plugins.variants import digest
from bench.store import LAYOUT, Manifest, Store, Task, cell_task, maps_task

LOOKED_AT = 3
"""Cells, the latest, whose records are read for one number."""


@dataclass(frozen=True)
class Need:
    """Work that is to be done.

    Attributes:
        cell: one that needs it.
        device: ``"cpu"`` or ``"cuda"``; ``"auto"`` where the machine that it will run on is not known.
        images: of what is done image by image; None where that is not known.
        workers: processes that the images are spread over.
        left: share of it that is to be done, 0..1.
        at_once: of how many parts, which may be done side by side.
    """

    does: Does
    cell: Manifest
    device: str
    images: int | None = None
    workers: int = 1
    left: float = 1.0
    at_once: int = 1

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
                for kind, levels in _levels(cell).items():
                    for level in levels:
                        self._cells[kind, cell.environment.get("device"), *level].append(cell)
        for cells in self._cells.values():
            cells.sort(key=lambda cell: (cell.generation, cell.written), reverse=True)

    def images(self, cell: Manifest) -> int | None:
        """How many test images a cell has that others have been finished on; None where none has."""
        return self._images.get(cell.identity["test"])

    def predicted(self, maps: str) -> int:
        """How many maps the logs tell of that were made for a task.

        Args:
            maps: as `bench.store.maps_task` calls it.
        """
        return self._predicted[maps]

    def of(self, need: Need) -> Measured | None:
        """What such work took; None where that was never measured."""
        kind = {"val maps": "maps", "test maps": "maps", "pictures": "refine"}.get(need.does, need.does)
        levels = _levels(need.cell)[kind]
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
    def _predicted(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for run in self._logs:
            for stage in run.stages:
                task = Task.of(str(stage.get("task")))
                if task.kind == "maps" and stage.get("outcome") == DONE and _is_number(images := stage.get("images")):
                    found[task.whole] += int(images)
        return found

    @cached_property
    def _walls(self) -> dict[str, _Took]:
        """What the stages took that logs tell of, by their tasks, parts by that of all; of each the latest."""
        found: dict[str, _Took] = {}
        for run in self._logs:
            for stage in reversed(run.stages):
                seconds, images, each = (stage.get(key) for key in ("seconds", "images", "each"))
                if stage.get("outcome") == DONE and _is_number(seconds) and _is_number(images) and _is_number(each):
                    task = Task.of(str(stage.get("task"))).whole
                    found.setdefault(task, _Took(each, max(seconds - each * images, 0.0)))
        return found


def _levels(cell: Manifest) -> dict[str, list[tuple[str, ...]]]:
    """What has to be the same for a cell's work to be measured by another's, by the kind of work.

    The nearest comes first; each begins with how it differs, in words.
    """
    refiner, base, data = (digest(cell.variant(kind)) for kind in ("refiner", "base", "dataset"))
    training = {key: value for key, value in cell.identity["base"].items() if key != "seed"}
    # A fit takes as long as it has images to learn from.
    learnt_from = cell.identity["test"], str(cell.limit)
    return {
        "train": [("", digest(training))],
        "maps": [("", base, data), ("on other data", base)],
        "fit": [("", refiner, base, *learnt_from), ("on other bases", refiner, *learnt_from)],
        "refine": [("", refiner, base, data), ("on other bases", refiner, data), ("on other data", refiner)],
    }


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
