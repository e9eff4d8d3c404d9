"""`run` a grid: its cells are planned, carried out by an engine, and kept in a store."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.commands.planning import Asked, missing, pictured
from bench.commands.results import Results
from bench.config import Device, EngineName, Grid, OnError, TrainingProtocol
from bench.contracts import UserError
from bench.execution import engines
from bench.execution.advice import advice
from bench.execution.cell import Cell
from bench.execution.job import Job
from bench.execution.run_log import DETACHED, DONE, ENDED, PLANNED, RunLog
from bench.execution.study import Study
from bench.metrics.columns import Objective
from bench.runtime.progress import Stages, note, overheard_by


@dataclass(kw_only=True)
class RunResult(Results):
    """What a run did; of its store, the cells of its grid.

    Attributes:
        cells: all cells of the grid, in order.
        reused: keys of those that the store already held.
        shared: keys of those that other processes have computed meanwhile.
        failures: key -> one line (`bench.redaction.one_line`), for the cells that failed.
        log: what the run did, line by line; None where it had nothing to compute.
    """

    cells: list[Cell]
    reused: set[str]
    shared: set[str] = field(default_factory=set)
    failures: dict[str, str] = field(default_factory=dict)
    log: Path | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Of its cells: ``computed`` here, ``reused``, ``shared`` and ``failed``."""
        known = {"reused": len(self.reused), "shared": len(self.shared), "failed": len(self.failures)}
        return {"computed": len(self.cells) - sum(known.values()), **known}

    def summary(self) -> list[str]:
        """What was done, reused and failed, with reasons, and where it lies: a line each."""
        found = self.counts
        shared = f"{found['shared']} computed by other processes, " if self.shared else ""
        counts = f"{found['computed']} cells computed, {found['reused']} reused, {shared}{found['failed']} failed"
        lines = [f"{counts}; kept in {self.store.address}"]
        cells: dict[str, list[str]] = defaultdict(list)
        for cell in self.cells:
            if cell.manifest.key in self.failures:
                cells[self.failures[cell.manifest.key]].append(cell.manifest.title)
        for reason, names in cells.items():
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            lines.append(f"failed: {names[0]}{more}: {reason}")
        if self.failures and self.log is not None:
            lines.append(f"what the run did: {self.log}")
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
    shard: int | None = None,
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
        shard=shard,
        workers=workers,
        on_error=on_error,
        stall_limit=stall_limit,
        keep_maps=keep_maps,
    )
    asked = Asked.of(
        options,
        experiment=experiment,
        parameters=parameters,
        store=store,
        detach=detach,
        force=force,
        config=config,
    )
    execute, target = engines.load(asked.whole.engine), asked.store
    engines.check(asked.whole.engine, asked.placement, target)
    planned = asked.plan()
    target.open_for_writing()
    target.tidy()
    begun = planned.of_generation(target.generation())
    result = RunResult(
        store=target,
        baseline=asked.settings.defaults.baseline,
        keep=lambda manifest: manifest.key in begun,
        cells=[job.cell for job in begun.values()],
        reused=target.finished((job.cell.manifest, job.least) for job in begun.values()),
    )
    study = _begin(begun, result, asked.whole.on_error)
    result.shared = study.shared
    kinds = {stage.name: (f"{stage.does} {stage.whose}", stage.does) for stage in study.stages}
    with Stages(kinds, asked.side_by_side) as shown, _logged(asked, study, result):
        study.watchers.append(lambda stage, outcome: shown.ended(stage.name, outcome.seconds))
        study.carry_out(execute, asked.placement)
    if detach:
        return result
    _check_kept(result)
    # Beside the table, and not before a mistake that is one line.
    for text in advice(result.cells):
        note(text)
    return result


def _begin(jobs: Mapping[str, Job], result: RunResult, on_error: OnError) -> Study:
    """Enter the cells that the store lacks into it; those of them that can be computed, and what becomes of them."""
    pending = [job for key, job in jobs.items() if key not in result.reused]
    lacking = missing(pending, on_error)
    to_picture = pictured(jobs.values(), result.reused)
    _say_what_is_reused(len(jobs), len(pending))
    if again := [job for job in to_picture if job.cell.manifest.key in result.reused]:
        cells = f"{len(again)} cells that are in the store"
        note(f"pictures are missing of {cells}: the images are refined again for them, the numbers stay")
    result.store.refresh([job.cell.manifest for job in jobs.values()])
    can = [job for job in pending if job.cell.manifest.key not in lacking]
    study = Study(result.store, can, to_picture, on_error, failures=result.failures)
    for job in pending:
        manifest = job.cell.manifest
        if manifest.key in lacking:
            study.record_failure(manifest, lacking[manifest.key], said=True)
        else:
            result.store.enter(manifest)
    return study


@contextmanager
def _logged(asked: Asked, study: Study, result: RunResult) -> Iterator[None]:
    """In the block what the run does goes into its log; of one that has nothing to do there is none."""
    if not study.stages and not study.failures:
        yield
        return
    whole = asked.whole
    given = asked.options.model_dump(mode="json", exclude_unset=True) | {"force": asked.force}
    run = {"store": asked.store.address, "engine": whole.engine, "jobs": asked.side_by_side, "options": given}
    with RunLog(asked.placement.folder, **run) as log, overheard_by(log.hear):
        kinds, reasons = Counter(stage.does for stage in study.stages), Counter(study.failures.values())
        counts = {"cells": len(result.cells), "reused": len(result.reused), "compute": len(study.jobs)}
        devices = sorted({stage.job.device for stage in study.stages})
        log.write(PLANNED, **counts, failed=reasons, stages=kinds, devices=devices)
        study.watchers.append(log.ended)
        result.log = log.path
        yield
        ended = {"outcome": DETACHED if asked.placement.detach else DONE}
        log.write(ENDED, **ended, **result.counts, failures=Counter(result.failures.values()))


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
