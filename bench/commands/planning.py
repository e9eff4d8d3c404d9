"""What a run would compute: its options are read and its cells planned; nothing is computed and nothing written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.config import Defaults, Grid, OnError, Settings, load
from bench.contracts import TellsReading
from bench.execution import engines, pictures
from bench.execution.cell import Cell
from bench.execution.job import Job
from bench.execution.plan import cells
from bench.plugins.entry_points import check_parameters
from bench.runtime.environment import pick_device
from bench.runtime.failures import summarised
from bench.runtime.progress import note
from bench.store import Manifest, Store


@dataclass(frozen=True)
class Asked:
    """A run as it is asked for.

    Attributes:
        parts: its grids.
        options: those that were given.
        force: what is there of the named cells does not count.
    """

    settings: Settings
    parts: list[Defaults]
    options: Grid
    store: Store
    placement: engines.Placement
    force: bool

    @classmethod
    def of(
        cls,
        options: Grid,
        *,
        experiment: str | None,
        parameters: Sequence[str],
        store: Path | str | None,
        detach: bool,
        force: bool,
        config: Path | None,
    ) -> Asked:
        """See `bench.commands.run.run`. Raises UserError where an option is wrong."""
        settings = load(config, parameters)
        check_parameters(settings)
        target = Store(store or settings.defaults.store)
        parts = settings.grids(experiment, options)
        # Of the parts of an experiment none says for itself what a run has but once.
        placement = engines.Placement.of(parts[0], target.run_folder(), detach=detach)
        return cls(settings, parts, options, target, placement, force)

    @property
    def whole(self) -> Defaults:
        """What holds for the run as a whole: its engine, its jobs, what a failed cell means."""
        return self.parts[0]

    @property
    def side_by_side(self) -> int | None:
        """Stages at once; None on a cluster that has room for as many as it says then."""
        return self.whole.jobs or (None if self.whole.engine in engines.CLUSTERS else 1)

    def plan(self, on_error: OnError | None = None) -> Planned:
        """See `plan`.

        Args:
            on_error: in place of what was asked for.
        """
        parts = [part if on_error is None else part.model_copy(update={"on_error": on_error}) for part in self.parts]
        return plan(parts, self.settings, self.store, force=self.force)


@dataclass(frozen=True)
class Planned:
    """The cells of a run; nothing is written yet.

    Attributes:
        jobs: by the cell's key, in order; without the run's generation.
        forced: keys of those that are to be computed anew.
    """

    jobs: dict[str, Job]
    forced: set[str]

    def of_generation(self, generation: int) -> dict[str, Job]:
        """The jobs of a run of that generation."""

        def begun(key: str, job: Job) -> Job:
            over = self.jobs.get(job.cell.baseline_key)
            return replace(
                job,
                generation=generation,
                force=key in self.forced,
                cell=job.cell.of_run(generation),
                baseline=over.cell.manifest if over is not None else None,
            )

        return {key: begun(key, job) for key, job in self.jobs.items()}


def plan(parts: Sequence[Defaults], settings: Settings, store: Store, *, force: bool) -> Planned:
    """The cells of all parts of a run, each once; says what is to be known of them.

    Raises:
        UserError: as `bench.execution.plan.cells`, or what files are taken for is unclear.
    """
    jobs: dict[str, Job] = {}
    asked: set[str] = set()
    same: set[str] = set()
    for part in parts:
        # The machines of a cluster have devices of their own.
        device = part.device if part.engine in engines.CLUSTERS else pick_device(part.device)
        for cell in cells(part, settings):
            key = cell.manifest.key
            asked |= {key} if cell.asked else set()
            if key in jobs:
                same |= _other_names(cell.manifest, jobs[key].cell.manifest)
            # Of two names for one cell the first is shown, but for the baseline's, which gains are looked up by.
            if key not in jobs or cell.manifest.refiner == part.baseline:
                jobs[key] = Job(
                    cell, store, device, part.workers, part.stall_limit, shard=part.shard, keep_maps=part.keep_maps
                )
    manifests = [job.cell.manifest for job in jobs.values()]
    partial = (f"warning: a partial copy of {m.dataset}: {m.complete}" for m in manifests if m.complete)
    for text in [*sorted(same), *dict.fromkeys(_readings(jobs.values())), *dict.fromkeys(partial)]:
        note(text)
    return Planned(jobs, asked if force else set())


def _readings(jobs: Iterable[Job]) -> list[str]:
    """What the files of the datasets, bases and refiners are taken for. Raises UserError where that is unclear."""
    said: dict[tuple[str, str], str] = {}
    for cell in (job.cell for job in jobs):
        if cell.reading:  # found out when it was planned
            said.setdefault(("dataset", str(cell.dataset.name)), f"{cell.dataset.label}: {cell.reading}")
        base = "base", str(cell.base.name)
        if base not in said and isinstance(cell.base.entry.factory, TellsReading):
            said[base] = f"{cell.base.label}: {cell.base.make(device='cpu', seed=0).reading()}"
        if isinstance(cell.refiner.entry.factory, TellsReading) and not cell.error:
            text = f"{cell.refiner.label}: {cell.refiner.make(device='cpu', seed=0).reading()}"
            said["refiner", cell.manifest.key] = text
    return list(said.values())


def _other_names(cell: Manifest, other: Manifest) -> set[str]:
    """What is called otherwise in one of two manifests of the same cell, in words."""
    both = {kind: (cell.names[kind].label(), other.names[kind].label()) for kind in cell.names}
    return {
        f"{kind} {one} is {two} by another name: one row for both" for kind, (one, two) in both.items() if one != two
    }


def missing(pending: Iterable[Job], on_error: OnError) -> dict[str, str]:
    """Key -> why the cell cannot be computed: found out here, before anything is.

    Raises:
        UserError: the first such reason, with ``on_error="fail"``.
    """
    pending = list(pending)
    found: dict[tuple[str, str], Exception | None] = {}

    def asked(cell: Cell) -> tuple[str, str]:
        # Of refiners that learn nothing each has files of its own.
        return cell.base_key, cell.fit_key or cell.refiner.spec

    for job in pending:
        learns = asked(job.cell)
        if not job.cell.error and learns not in found:
            found[learns] = None
            try:
                job.check_fits()
            except Exception as error:
                # A plug-in may raise anything.
                if on_error == "fail":
                    raise
                found[learns] = error
    errors = {job.cell.manifest.key: found.get(asked(job.cell)) for job in pending}
    return {key: summarised(error) for key, error in errors.items() if error} | {
        job.cell.manifest.key: job.cell.error for job in pending if job.cell.error
    }


def pictured(jobs: Iterable[Job], reused: set[str]) -> list[Job]:
    """Those whose pictures are to be made: all but those of the cells that the store has with all of them."""

    def has_all(job: Job) -> bool:
        known = {job.cell.manifest.key, job.baseline.key if job.baseline else job.cell.manifest.key}
        return known <= reused and pictures.are_kept(job)

    return [job for job in jobs if job.keep_maps != "0" and not has_all(job)]
