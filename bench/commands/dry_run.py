"""`dry_run`: what a run would compute, what of it is there, what will fail, and how long it will take."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from bench.commands.planning import Asked, missing, pictured
from bench.config import Grid
from bench.contracts import Split
from bench.execution import engines
from bench.execution.costs import Costs, Need
from bench.execution.estimate import PIECES, Estimate, Line
from bench.execution.job import Job
from bench.execution.run_log import logged
from bench.execution.stages import BY_IMAGE, QUICK, Does, Stage, stages
from bench.runtime.wording import condensed, counted, first, spoken
from bench.store import Manifest, MapCache, Store


@dataclass(frozen=True)
class Step:
    """A stage that cells need which are to be computed.

    Attributes:
        name: of the stage.
        whose: the base or refiner that it is the work of.
        images: how many it is made of, and how many of them the store has; 0 for a training.
        is_there: there is nothing left to do.
    """

    name: str
    does: Does
    dataset: str
    whose: str
    images: int
    there: int
    is_there: bool


@dataclass(frozen=True)
class DryRun:
    """What a run would do; printed, it is what ``bench run --dry-run`` prints.

    Attributes:
        store, engine: of the run.
        cells: all of its grid, in order.
        there: keys of those that the store has.
        failing: key -> why, of those that will fail at once.
        on_error: what that means for the run: with ``"fail"`` it ends before it begins.
        steps: what the cells that are to be computed need, in order.
        estimate: of what of it is not there.
        script: what is handed to a cluster that takes scripts; "" of other engines.
    """

    store: str
    engine: str
    on_error: str
    cells: tuple[Manifest, ...]
    there: frozenset[str]
    failing: Mapping[str, str]
    steps: tuple[Step, ...]
    estimate: Estimate
    script: str = ""

    @property
    def to_compute(self) -> int:
        """How many cells the run would try to compute."""
        return len(self.cells) - len(self.there) - len(self.failing)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: what ``bench run --dry-run --json`` prints."""
        cells = [
            cell.named() | {"state": self._state(cell), "reason": self.failing.get(cell.key, "")} for cell in self.cells
        ]
        lines = [
            {**asdict(line), "rests_on": len(line.rests_on), "besides": sorted(line.besides), "basis": line.basis}
            for line in self.estimate.lines
        ]
        estimate = {
            "cpu_seconds": self.estimate.busy("cpu"),
            "gpu_seconds": self.estimate.busy("cuda"),
            "wall_seconds": self.estimate.wall,
            "jobs": self.estimate.jobs,
            "stages_measured": self.estimate.known,
            "stages_unknown": self.estimate.unknown,
            "lines": lines,
        }
        return {
            "store": self.store,
            "engine": self.engine,
            "on_error": self.on_error,
            "cells": cells,
            "stages": [asdict(step) for step in self.steps],
            "estimate": estimate,
            "script": self.script,
        }

    def __str__(self) -> str:
        script = ["", self.script] if self.script else []
        return "\n".join([*self._of_cells(), *self._of_failures(), *self._of_steps(), *self._of_time(), *script])

    __repr__ = __str__

    def _state(self, cell: Manifest) -> str:
        return "done" if cell.key in self.there else "fails" if cell.key in self.failing else "to compute"

    def _of_cells(self) -> Iterator[str]:
        yield f"{counted(len(self.cells), 'cell')}: {self._counted(self.cells)}; store {self.store}"
        groups: dict[tuple[str, str], list[Manifest]] = defaultdict(list)
        for cell in self.cells:
            groups[cell.dataset, cell.base].append(cell)
        rows = []
        for (dataset, base), cells in groups.items():
            refiners = list(dict.fromkeys(cell.refiner for cell in cells))
            seeds = len({(cell.seed, cell.protocol) for cell in cells})
            times = f" x {seeds} seeds" if seeds > 1 else ""
            rows.append(f"{dataset} > {base} > {condensed(refiners)}{times}: {self._counted(cells)}")
        yield from first(rows)

    def _counted(self, cells: Sequence[Manifest]) -> str:
        counts = Counter(map(self._state, cells))
        words = {"done": "in the store", "to compute": "to compute", "fails": "will fail"}
        return ", ".join(f"{counts[state]} {word}" for state, word in words.items() if counts[state])

    def _of_failures(self) -> Iterator[str]:
        if not self.failing:
            return
        yield ""
        yield "will fail" + (": the run would end here, before it begins" if self.on_error == "fail" else "")
        reasons: dict[str, list[str]] = defaultdict(list)
        for cell in self.cells:
            if cell.key in self.failing:
                reasons[self.failing[cell.key]].append(cell.title)
        yield from first([f"{condensed(titles, 1)}: {reason}" for reason, titles in reasons.items()])

    def _of_steps(self) -> Iterator[str]:
        if not self.steps:
            return
        yield ""
        yield "stages"
        for does in get_args(Does):
            found = [step for step in self.steps if step.does == does]
            if not found:
                continue
            there = sum(step.is_there for step in found)
            yield f"  {does:10} {len(found) - there} to do" + (f", {there} in the store" if there else "")
            if does in ("val maps", "test maps"):
                partly = [step for step in found if step.there and not step.is_there]
                rows = [f"{step.whose} on {step.dataset}: {step.there} of {step.images} predicted" for step in partly]
                yield from first(rows, f"  {'':10} ")

    def _of_time(self) -> Iterator[str]:
        estimate = self.estimate
        if not estimate.lines:
            return
        yield ""
        yield "time, by what the same work took before in this store"
        yield from first([_described(line) for line in estimate.lines if line.seconds])
        if unknown := [_named(line) for line in estimate.lines if not line.seconds]:
            yield f"  unknown, as never measured here: {condensed(unknown)}"
        if not estimate.known:
            yield "  CPU, GPU and wall time: unknown"
            return
        gpu, cpu = estimate.busy("cuda"), estimate.busy("cpu")
        jobs = f"{estimate.jobs} at once" if estimate.jobs != 1 else "one after another"
        wall = f"{spoken(estimate.wall)} with stages {jobs}" if estimate.wall is not None else "unknown on this cluster"
        yield f"  CPU time {spoken(cpu) if cpu else 0}, GPU time {spoken(gpu) if gpu else 0}, wall time {wall}" + (
            f"; and {counted(estimate.unknown, 'stage')} of unknown length" if estimate.unknown else ""
        )


def dry_run(
    *,
    experiment: str | None = None,
    parameters: Sequence[str] = (),
    store: Path | str | None = None,
    detach: bool = False,
    force: bool = False,
    config: Path | None = None,
    **options: Any,
) -> DryRun:
    """What `bench.run` would do with the same arguments; nothing is computed, and nothing is written into the store.

    Of a bucket, copies of what is looked at may be kept on this machine, as a run keeps them.

    Args:
        experiment, parameters, store, detach, force, config: as `bench.run`.
        options: those of `bench.config.Grid`.

    Raises:
        UserError: as `bench.run`, but for what makes single cells fail.
    """
    asked = Asked.of(
        Grid.of(**options),
        experiment=experiment,
        parameters=parameters,
        store=store,
        detach=detach,
        force=force,
        config=config,
    )
    # Whatever it is that fails: all of it is to be told.
    planned = asked.plan(on_error="skip")
    jobs = planned.of_generation(asked.store.generation())
    there = asked.store.finished((job.cell.manifest, job.least) for job in jobs.values())
    pending = [job for key, job in jobs.items() if key not in there]
    failing = missing(pending, "skip")
    can = [job for job in pending if job.cell.manifest.key not in failing]
    to_picture = [job for job in pictured(jobs.values(), there) if job.cell.manifest.key not in failing]
    have = _Have(asked.store)
    found = [(stage, have.step(stage)) for stage in stages(can, to_picture)]
    costs = Costs(asked.store, asked.store.readable()[0], logged(asked.store))
    needs = (_need(stage, step) for stage, step in found if not step.is_there and step.does not in QUICK)
    left = [stage for stage, step in found if not step.is_there]
    return DryRun(
        store=asked.store.address,
        engine=asked.whole.engine,
        on_error=asked.whole.on_error,
        cells=tuple(job.cell.manifest for job in jobs.values()),
        there=frozenset(there),
        failing=failing,
        steps=tuple(step for _, step in found),
        estimate=Estimate.of(needs, costs, asked.side_by_side),
        script=engines.script(asked.whole.engine, left, asked.placement),
    )


class _Have:
    """What a store has of what stages make; nothing of it is checked, as a run does before it relies on it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._trainings, self._cuts = store.trainings(), store.cuts()
        self._maps: dict[tuple[str, str], MapCache] = {}

    def step(self, stage: Stage) -> Step:
        """The stage, and how much of it is there."""
        job, images, there = stage.job, 0, 0
        if stage.does == "train":
            is_there = job.trained_base.name in self._trainings
        elif stage.does == "fit":
            is_there = job.fitted_refiner.name in self._trainings and not job.least
        elif stage.does in ("val maps", "test maps"):
            split: Split = "val" if stage.does == "val maps" else "test"
            images = len(job.cell.ids[split])
            there = images - len(self._maps_of(job, split).missing(job.cell.ids[split]))
            is_there = there == images
        elif stage.does == "refine":
            images = len(job.cell.scored)
            is_there = self._cuts.get(job.cell.manifest.key, {}).get(job.part or (0, 0), -1) >= job.least
        else:
            images, is_there = _to_picture(job) if stage.does == "pictures" else 0, False
        return Step(stage.name, stage.does, job.cell.manifest.dataset, stage.whose, images, there, is_there)

    def _maps_of(self, job: Job, split: Split) -> MapCache:
        """Those of the whole split, read once for all of its parts."""
        key = job.cell.base_key, job.cell.prints[split]
        if key not in self._maps:
            self._maps[key] = self._store.maps(*key)
        return self._maps[key]


def _to_picture(job: Job) -> int:
    number = job.keep_maps.rpartition(":")[2]
    return min(int(number), len(job.cell.scored)) if number.isdigit() else len(job.cell.scored)


def _need(stage: Stage, step: Step) -> Need:
    job = stage.job
    images = step.images - step.there if stage.does in BY_IMAGE else None
    return Need(stage.does, job.cell.manifest, job.device, images, stage.workers)


def _named(line: Line) -> str:
    return f"{line.does} {line.whose} on {line.dataset}"


def _described(line: Line) -> str:
    measured = line.stages - line.unknown
    of = counted(line.images, "image") if line.does in BY_IMAGE else counted(measured, PIECES[line.does])
    rest = f" and {counted(line.unknown, 'stage')} of unknown length" if line.unknown else ""
    return f"{_named(line)}: {spoken(line.seconds)} for {of}{rest} ({line.device}; {line.basis})"
