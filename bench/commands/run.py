"""What the commands do to datasets, as functions: `run` a grid, `predict` a base's maps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.commands.results import Results
from bench.config import Defaults, Device, EngineName, Grid, OnError, Settings, TrainingProtocol, load
from bench.contracts import TellsReading, UserError
from bench.execution import engines, pictures, stages
from bench.execution.advice import advice
from bench.execution.job import Job
from bench.execution.plan import Cell, cells
from bench.execution.stages import Stage
from bench.execution.study import Study
from bench.metrics.columns import Objective
from bench.plugins.entry_points import check_parameters
from bench.runtime.environment import pick_device
from bench.runtime.failures import summarised
from bench.runtime.progress import Stages, note
from bench.store import Manifest, Store


@dataclass(kw_only=True)
class RunResult(Results):
    """What a run did; of its store, the cells of its grid.

    Attributes:
        cells: all cells of the grid, in order.
        reused: keys of those that the store already held.
        shared: keys of those that other processes have computed meanwhile.
        failures: key -> one line (`bench.redaction.one_line`), for the cells that failed.
    """

    cells: list[Cell]
    reused: set[str]
    shared: set[str] = field(default_factory=set)
    failures: dict[str, str] = field(default_factory=dict)

    def summary(self) -> list[str]:
        """What was done, reused and failed, with reasons, and where it lies: a line each."""
        done = len(self.cells) - len(self.reused) - len(self.failures) - len(self.shared)
        shared = f"{len(self.shared)} computed by other processes, " if self.shared else ""
        counts = f"{done} cells computed, {len(self.reused)} reused, {shared}{len(self.failures)} failed"
        lines = [f"{counts}; kept in {self.store.address}"]
        cells: dict[str, list[str]] = defaultdict(list)
        for cell in self.cells:
            if cell.manifest.key in self.failures:
                cells[self.failures[cell.manifest.key]].append(cell.manifest.title)
        for reason, names in cells.items():
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            lines.append(f"failed: {names[0]}{more}: {reason}")
        return lines

    def __repr__(self) -> str:
        counts = f"{len(self.cells)} cells, {len(self.reused)} reused, {len(self.failures)} failed"
        return f"RunResult({self.store.address!r}: {counts})"


def run(
    *,
    experiment: str | None = None,
    dataset: Sequence[str] | None = None,
    base: Sequence[str] | None = None,
    refiner: Sequence[str] | None = None,
    metric: Sequence[str] | None = None,
    seed: Sequence[int] | None = None,
    protocol: Sequence[TrainingProtocol] | None = None,
    parameters: Sequence[str] = (),
    store: Path | str | None = None,
    device: Device | None = None,
    engine: EngineName | None = None,
    jobs: int | None = None,
    address: str | None = None,
    slurm: Sequence[str] | None = None,
    detach: bool = False,
    limit: int | None = None,
    tune: int | None = None,
    objective: Objective | None = None,
    epochs: int | None = None,
    on_error: OnError | None = None,
    stall_limit: int | None = None,
    workers: int | None = None,
    keep_maps: str | int | None = None,
    force: bool = False,
    config: Path | None = None,
) -> RunResult:
    """Compute the cells of a grid that the store does not hold yet.

    What is None comes from the experiment, else from ``[defaults]`` of bench.toml. The baseline refiner is always
    part of the grid. ``force`` computes the grid's cells anew, but keeps the bases' checkpoints and maps. Other
    processes may fill the same store: each cell is computed by one of them, and all end when all cells are there.

    The other options are those of `bench.config.Grid`.

    Args:
        experiment: a named grid of bench.toml.
        parameters: ``"prn.size=96"``: parameters of a plug-in wherever it is used, below those that a name carries.
        store: the folder where finished cells are kept, or the address of a bucket, see `bench.store.Store`.
        detach: hand the cells over to the cluster, and return at once; ``bench status`` tells how far they are.
        force: see above.
        config: settings instead of ``./bench.toml``.

    Raises:
        UserError: something the user can fix.
        CellError: a defect, with ``on_error="fail"``.
    """
    options = Grid.of(
        dataset=dataset,
        base=base,
        refiner=refiner,
        metric=metric,
        seed=seed,
        protocol=protocol,
        limit=limit,
        tune=tune,
        objective=objective,
        epochs=epochs,
        device=device,
        engine=engine,
        jobs=jobs,
        address=address,
        slurm=slurm,
        workers=workers,
        on_error=on_error,
        stall_limit=stall_limit,
        keep_maps=keep_maps,
    )
    settings = load(config, parameters)
    check_parameters(settings)
    target = Store(store or settings.defaults.store)
    parts = settings.grids(experiment, options)
    # Of the parts of an experiment none says these for itself.
    placement, execute = (
        engines.Placement.of(parts[0], target.run_folder(), detach=detach),
        engines.load(parts[0].engine),
    )
    engines.check(parts[0].engine, placement, target)
    planned = plan(parts, settings, target, force=force)
    target.open_for_writing()
    target.tidy()
    begun = planned.of_generation(target.generation())
    result = RunResult(
        store=target,
        baseline=settings.defaults.baseline,
        keep=lambda manifest: manifest.key in begun,
        cells=[job.cell for job in begun.values()],
        reused=target.finished((job.cell.manifest, job.least) for job in begun.values()),
    )
    study = _begin(begun, result, parts[0].on_error)
    # A cluster has room for as many as it says then.
    side_by_side = parts[0].jobs or (1 if parts[0].engine in ("local", "inline") else None)
    with Stages({stage.name: _kinds(stage) for stage in study.stages}, side_by_side) as shown:
        study.watchers.append(lambda stage, outcome: shown.ended(stage.name, outcome.seconds))
        study.carry_out(execute, placement)
    if detach:
        return result
    result.shared = study.shared
    _check_kept(result)
    # Beside the table, and not before a mistake that is one line.
    for text in advice(result.cells):
        note(text)
    return result


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
        device = part.device if part.engine in ("ray", "slurm") else pick_device(part.device)
        for cell in cells(part, settings):
            key = cell.manifest.key
            asked |= {key} if cell.asked else set()
            if key in jobs:
                same |= _other_names(cell.manifest, jobs[key].cell.manifest)
            # Of two names for one cell the first is shown, but for the baseline's, which gains are looked up by.
            if key not in jobs or cell.manifest.refiner == part.baseline:
                jobs[key] = Job(cell, store, device, part.workers, part.stall_limit, keep_maps=part.keep_maps)
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


def _missing(pending: list[Job], on_error: OnError) -> dict[str, str]:
    """Key -> why the cell cannot be computed: found out here, before anything is.

    Raises:
        UserError: the first such reason, with ``on_error="fail"``.
    """
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


def _pictured(jobs: Iterable[Job], result: RunResult) -> list[Job]:
    """Those whose pictures are to be made: all but those of the cells that the store has with all of them."""

    def has_all(job: Job) -> bool:
        known = {job.cell.manifest.key, job.baseline.key if job.baseline else job.cell.manifest.key}
        return known <= result.reused and pictures.are_kept(job)

    return [job for job in jobs if job.keep_maps != "0" and not has_all(job)]


def _begin(jobs: Mapping[str, Job], result: RunResult, on_error: OnError) -> Study:
    """Enter the cells that the store lacks into it; those of them that can be computed, and what becomes of them."""
    pending = [job for key, job in jobs.items() if key not in result.reused]
    missing = _missing(pending, on_error)
    pictured = _pictured(jobs.values(), result)
    _say_what_is_reused(len(jobs), len(pending))
    if again := [job for job in pictured if job.cell.manifest.key in result.reused]:
        cells = f"{len(again)} cells that are in the store"
        note(f"pictures are missing of {cells}: the images are refined again for them, the numbers stay")
    result.store.refresh([job.cell.manifest for job in jobs.values()])
    can = [job for job in pending if job.cell.manifest.key not in missing]
    study = Study(result.store, can, pictured, on_error, failures=result.failures)
    for job in pending:
        manifest = job.cell.manifest
        if manifest.key in missing:
            study.record_failure(manifest, missing[manifest.key], said=True)
        else:
            result.store.enter(manifest)
    return study


def _say_what_is_reused(cells: int, pending: int) -> None:
    if not pending:
        note(f"all {cells} cells are in the store: nothing to compute (--force computes them again)")
    elif pending < cells:
        note(f"{cells - pending} of {cells} cells are in the store; {pending} to compute")


def _check_kept(result: RunResult) -> None:
    """Raises UserError where cells are gone that were finished: somebody deletes what is in the store."""
    there = {manifest.key for manifest in result.store.readable()[0] if manifest.status == "done"}
    rest = [cell.manifest for cell in result.cells if cell.manifest.key not in there | result.failures.keys()]
    # Another run may have put a later one in its place while the first look was under way.
    gone = [manifest for manifest in rest if result.store.find(manifest) is None]
    if gone:
        what = f"{len(gone)} cells are gone that were finished, the first of them {gone[0].title}"
        raise UserError(what, result.store.address, "run the same command again, which computes them again")


def _kinds(stage: Stage) -> tuple[str, str]:
    """What says most about how long a stage takes, then what says less: whose it is, and what it does."""
    manifest, does = stage.job.cell.manifest, stage.function.__name__
    by_refiner = stage.function in (stages.fit_refiner, stages.refine, pictures.keep)
    whose = manifest.refiner if by_refiner else manifest.base
    return f"{does} {whose}", does
