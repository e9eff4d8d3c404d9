"""`status`: how far the runs of a store are, whoever carries them out, and what is left."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.config import load
from bench.contracts import UserError
from bench.execution.costs import Costs, Need
from bench.execution.estimate import Estimate
from bench.execution.experiments import in_experiment
from bench.execution.run_log import DETACHED, DIED, RUNNING, LoggedRun, logged
from bench.execution.stages import Does
from bench.execution.underway import AtWork, at_work
from bench.plugins.variants import digest
from bench.runtime.process import described
from bench.runtime.wording import condensed, counted, first, spoken
from bench.store import LAYOUT, Manifest, Store, cell_task, maps_task


@dataclass(frozen=True)
class Status:
    """How far a store is; printed, it is what ``bench status`` prints.

    Attributes:
        store: its address.
        cells: the finished, failed and planned ones, each once: of one that was finished and failed later, the failure.
        damaged: manifests that cannot be read; the next run makes their cells anew.
        leases: on all work of the store, also that of other experiments.
        estimate: of what is left.
        runs: the latest ones that this machine knows of, the latest first.
    """

    store: str
    cells: tuple[Manifest, ...]
    damaged: tuple[UserError, ...]
    leases: tuple[AtWork, ...]
    estimate: Estimate
    runs: tuple[LoggedRun, ...]

    @property
    def done(self) -> list[Manifest]:
        """The finished cells."""
        return [cell for cell in self.cells if cell.status == "done"]

    @property
    def failed(self) -> list[Manifest]:
        """The cells that failed, and are not under way again."""
        return [cell for cell in self.cells if cell.status == "failed" and cell.key not in self._under_way]

    @property
    def left(self) -> list[Manifest]:
        """The cells that are planned, and those under way."""
        kept = {"done", "failed"}
        return [cell for cell in self.cells if cell.status not in kept or self._is_again(cell)]

    @property
    def running(self) -> list[AtWork]:
        """The work that somebody is at."""
        return [lease for lease in self.leases if lease.state == "at work"]

    @property
    def stale(self) -> list[AtWork]:
        """The leases whose holder is gone or silent: the next run takes the work over."""
        return [lease for lease in self.leases if lease.state != "at work"]

    @property
    def is_finished(self) -> bool:
        """Nothing is left, but for what has failed."""
        return not self.left and not self.damaged

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: what ``bench status --json`` prints."""
        return {
            "store": self.store,
            "cells": {"done": len(self.done), "failed": len(self.failed), "left": len(self.left)},
            "failed": [cell.named() | {"error": cell.error} for cell in self.failed],
            "left": [cell.named() for cell in self.left],
            "running": [lease.as_dict() for lease in self.running],
            "stale": [lease.as_dict() for lease in self.stale],
            "seconds_left": self.estimate.wall if self.running else None,
            "work_left_seconds": self.estimate.seconds,
            "stages_unknown": self.estimate.unknown,
            "damaged": [str(error) for error in self.damaged],
            "last_run": _run(self.runs[0]) if self.runs else None,
        }

    def __str__(self) -> str:
        parts = (self._first_line(), self._at_work(), self._not_done(), self._of_runs())
        return "\n".join(line for part in parts for line in part)

    __repr__ = __str__

    @cached_property
    def _under_way(self) -> set[str]:
        return {lease.cell for lease in self.running if lease.cell}

    def _is_again(self, cell: Manifest) -> bool:
        return cell.status == "failed" and cell.key in self._under_way

    def _first_line(self) -> Iterator[str]:
        counts = {"failed": len(self.failed), "left": len(self.left)}
        more = "".join(f", {count} {word}" for word, count in counts.items() if count)
        yield f"{len(self.done)} of {counted(len(self.cells), 'cell')} done{more}; store {self.store}"
        if self.left:
            yield self._time()
        yield from first([f"damaged: {error}" for error in self.damaged], "")

    def _time(self) -> str:
        estimate = self.estimate
        unknown = f", and {counted(estimate.unknown, 'stage')} of unknown length" if estimate.unknown else ""
        if not self.running:
            work = f"{spoken(estimate.seconds)} of work" if estimate.known else "work of unknown length"
            return f"nothing is under way; left is {work}{unknown if estimate.known else ''}: start the run again"
        if not estimate.known or estimate.wall is None:
            return "time left: unknown, nothing of the kind was measured before"
        rate = f"{counted(len(self.running), 'stage')} at once"
        return f"time left: {spoken(estimate.wall)} with {rate}{unknown}"

    def _at_work(self) -> Iterator[str]:
        for title, leases in (("running", self.running), ("left behind, for the next run to take over", self.stale)):
            if leases:
                yield ""
                yield title
                yield from first([str(lease) for lease in leases])

    def _not_done(self) -> Iterator[str]:
        if self.failed:
            reasons: dict[str, list[str]] = defaultdict(list)
            for cell in self.failed:
                reasons[cell.error].append(cell.title)
            yield ""
            yield "failed"
            yield from first([f"{condensed(titles, 1)}: {reason}" for reason, titles in reasons.items()])
        if self.left:
            groups = Counter((cell.dataset, cell.base) for cell in self.left)
            yield ""
            yield "left"
            yield from first([f"{' > '.join(group)}: {counted(count, 'cell')}" for group, count in groups.items()])

    def _of_runs(self) -> Iterator[str]:
        if self.runs:
            run = self.runs[0]
            when = run.last if run.how in (RUNNING, DIED) else run.ended.get("time")
            how = f"died, its process is gone; last heard of {when}" if run.how == DIED else f"{run.how}, {when}"
            why = f": {run.ended['error']}" if run.ended.get("error") else ""
            yield ""
            yield f"last run: {described(run.begun)}, begun {run.begun.get('time')}; {how}{why}; log {run.path}"


def status(store: Path | str | None = None, *, experiment: str | None = None, config: Path | None = None) -> Status:
    """How far the runs of a store are. Nothing is written.

    Args:
        store: a folder or bucket that ``bench run`` fills; None takes bench.toml's.
        experiment: only the cells of this experiment of bench.toml; None for all.
        config: settings instead of ``./bench.toml``.

    Raises:
        UserError: no such store or experiment, or no cell is in it.
    """
    settings = load(config)
    opened = Store(store or settings.defaults.store)
    opened.open_for_reading()
    manifests, damaged = opened.readable()
    keep: Callable[[Manifest], bool] = in_experiment(settings, experiment) if experiment else lambda _: True
    cells: dict[str, Manifest] = {}
    for manifest in filter(keep, manifests):
        known = cells.get(manifest.key)
        if known is None or (manifest.status == "failed" and known.status == "done"):
            cells[manifest.key] = manifest
    if not cells and not damaged:
        of = f" of {experiment}" if experiment else ""
        raise UserError(f"no cell{of} is planned here", opened.address, "fill it with 'bench run'")
    runs = logged(opened)
    leases = at_work(opened.leases.holdings(), manifests)
    running = [lease for lease in leases if lease.state == "at work"]
    left = [cell for cell in cells.values() if cell.status == "planned" and cell.layout >= LAYOUT - 1]
    costs = Costs(opened, manifests if left else (), runs)
    needs = _needs(opened, left, manifests, running, costs, _device(runs, manifests))
    return Status(
        store=opened.address,
        cells=tuple(cells.values()),
        damaged=tuple(damaged),
        leases=tuple(leases),
        estimate=Estimate.of(needs, costs, len(running) or 1),
        runs=tuple(runs),
    )


def _device(runs: Sequence[LoggedRun], manifests: Sequence[Manifest]) -> str:
    """What the work that is left is done on: what the latest run said, else what the latest cell was made on."""
    for run in runs:
        if devices := run.planned.get("devices"):
            return str(devices[0])
    latest = max((cell for cell in manifests if cell.status == "done"), key=lambda cell: cell.written, default=None)
    return str(latest.environment.get("device", "auto")) if latest is not None else "auto"


def _needs(
    store: Store,
    left: Sequence[Manifest],
    manifests: Sequence[Manifest],
    running: Sequence[AtWork],
    costs: Costs,
    device: str,
) -> Iterator[Need]:
    """What planned cells need that the store has not, as far as their manifests tell it."""
    if not left:
        return
    done = [cell for cell in manifests if cell.status == "done" and "base" in cell.identity]
    mapped = {(digest(cell.identity["base"]), cell.identity["test"]) for cell in done}
    trained, cuts = store.trainings(), store.cuts()
    under_way: dict[str, list[AtWork]] = defaultdict(list)
    for lease in running:
        under_way[lease.task.whole].append(lease)
    seen: set[str] = set()

    def need(does: Does, cell: Manifest, task: str, images: int | None = None, there: float = 0) -> Iterator[Need]:
        if task not in seen:
            seen.add(task)
            leases = under_way[task]
            share = there / images if images else 0.0
            share += sum(lease.share * lease.part_of(images) for lease in leases)
            yield Need(does, cell, device, images, left=max(1 - share, 0.0), at_once=max(len(leases), 1))

    for cell in left:
        base, images, fit = digest(cell.identity["base"]), costs.images(cell), cell.identity.get("fit")
        if "train" in cell.identity["base"] and store.trained_base(base).name not in trained:
            yield from need("train", cell, store.trained_base(base).task)
        if fit and store.fitted_refiner(fit).name not in trained:
            yield from need("fit", cell, store.fitted_refiner(fit).task)
        if (base, cell.identity["test"]) not in mapped:
            maps = maps_task(base, cell.identity["test"])
            yield from need("test maps", cell, maps, images, costs.predicted(maps))
        parts = sum(stop - start for start, stop in cuts.get(cell.key, ()))
        yield from need("refine", cell, cell_task(cell), images, parts)


def _run(run: LoggedRun) -> dict[str, Any]:
    told = {key: run.begun.get(key) for key in ("command", "host", "pid", "engine", "jobs", "version", "commit")}
    ends = {"begun": run.begun.get("time"), "last": run.last, "state": run.how, "error": run.ended.get("error")}
    return {**told, **ends, "log": str(run.path), "is_detached": run.how == DETACHED}
