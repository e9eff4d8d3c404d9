"""What the commands do to datasets, as functions: `run` a grid, `predict` a base's maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from bench import engines, runner
from bench.config import Defaults, Experiment, Kind, Protocol, Settings, load
from bench.contracts import SPLITS, Split, UserError
from bench.datasets.subset import Subset
from bench.environment import pick_device
from bench.folders import make_out
from bench.images import write_map
from bench.job import Job
from bench.metrics.columns import Objective
from bench.plan import Cell, grid, narrowed, whole_splits
from bench.progress import note, track
from bench.registry import check_parameters, load_base, load_dataset, resolve, with_parameter, with_tuning
from bench.store import Manifest, Store


@dataclass
class RunResult:
    """What a run did.

    Attributes:
        cells: all cells of the grid, in order.
        reused: keys of those that the store already held.
        failures: key -> one line, for the cells that failed.
    """

    store: Store
    cells: list[Cell]
    reused: set[str]
    failures: dict[str, str] = field(default_factory=dict)


class CellError(Exception):
    """A cell failed through a defect, not through anything the user can fix. Carries the stage's traceback."""


def run(
    *,
    experiment: str | None = None,
    dataset: Sequence[str] | None = None,
    base: Sequence[str] | None = None,
    refiner: Sequence[str] | None = None,
    metric: Sequence[str] | None = None,
    seed: Sequence[int] | None = None,
    protocol: Sequence[Protocol] | None = None,
    parameters: Sequence[str] = (),
    store: Path | str | None = None,
    device: Literal["auto", "cpu", "cuda"] | None = None,
    engine: Literal["local", "ray"] | None = None,
    limit: int | None = None,
    tune: int | None = None,
    objective: Objective | None = None,
    epochs: int | None = None,
    on_error: Literal["fail", "skip"] | None = None,
    workers: int | None = None,
    force: bool = False,
    config: Path | None = None,
) -> RunResult:
    """Compute the cells of a grid that the store does not hold yet.

    What is None comes from the experiment, else from ``[defaults]`` of bench.toml. The baseline refiner is always
    part of the grid. ``force`` computes the grid's cells anew, but keeps the bases' checkpoints and maps.

    Args:
        metric: plug-ins to score by, beside the built-in metrics.
        protocol: what the base is trained on, see `bench.config.Protocol`.
        parameters: ``"prn.size=96"``: parameters of a plug-in wherever it is used, below those that a name carries.
        limit: use only the first so many samples of each split.
        tune: trials of every refiner that can be tuned, see `bench.tuning.Tuned`; None tunes those alone whose name
            says so.
        objective: what the tuning goes by; None is ``iou``.
        epochs: the parameter ``epochs`` of every base and refiner that has one, over what their names say.
        on_error: ``fail`` stops at the first failed cell, ``skip`` records it and goes on.
        workers: processes that a cell's test images are spread over, one native thread each; with one of them the
            refiner takes what threads it likes.

    Raises:
        UserError: something the user can fix.
        CellError: a defect, with ``on_error="fail"``.
    """
    settings = load(config, parameters)
    check_parameters(settings)
    where = pick_device(device or settings.defaults.device)
    target = Store(Path(store or settings.defaults.store).absolute())
    on_error = on_error or settings.defaults.on_error
    given = {
        "dataset": dataset,
        "base": base,
        "refiner": refiner,
        "metric": metric,
        "seed": seed,
        "protocol": protocol,
        "limit": limit,
        "tune": tune,
        "objective": objective,
    }
    cells: dict[str, Cell] = {}
    wanted: set[str] = set()
    for part in settings.experiment(experiment) if experiment else [None]:
        pick = _Pick(settings.defaults, part, given)
        named = pick.refiners(settings, epochs)
        wanted |= set(named)
        cells |= {cell.manifest.key: cell for cell in _grid(settings, pick, named, epochs, on_error == "skip")}
    target.open_for_writing()
    manifests = [cell.manifest for cell in cells.values()]
    for text in dict.fromkeys(f"{m.dataset}: {m.complete}" for m in manifests if m.complete):
        note(f"warning: a partial copy of {text}")
    workers = workers or settings.defaults.workers
    jobs = [Job(cell, settings, target, where, workers) for cell in cells.values()]
    if force:
        for job in jobs:
            if job.cell.refiner in wanted:
                runner.forget(job)
    done = {manifest.key for manifest in manifests if target.is_done(manifest)}
    result = RunResult(target, list(cells.values()), done)
    _execute(_begin(jobs, result), result, engine=engine or settings.defaults.engine, on_error=on_error)
    return result


class _Pick:
    """What was given, else what the experiment says, else the default."""

    def __init__(self, defaults: Defaults, experiment: Experiment | None, given: Mapping[str, Any]) -> None:
        self._sources = [given, *(vars(layer) for layer in (experiment, defaults) if layer is not None)]

    def __call__(self, name: str) -> Any:
        found = (source.get(name) for source in self._sources)
        return next((value for value in found if value is not None), None)

    def refiners(self, settings: Settings, epochs: int | None = None) -> list[str]:
        """Specs of the grid's refiners, with the grid's tuning; without the baseline that joins every grid."""
        specs = [with_parameter("refiner", spec, settings, "epochs", epochs) for spec in self("refiner")]
        return [with_tuning(spec, settings, self("tune"), self("objective")) for spec in specs]


def _grid(settings: Settings, pick: _Pick, refiners: list[str], epochs: int | None, skip_errors: bool) -> list[Cell]:
    baseline = settings.defaults.baseline
    return grid(
        settings,
        datasets=pick("dataset"),
        bases=[with_parameter("base", spec, settings, "epochs", epochs) for spec in pick("base")],
        refiners=refiners if baseline in refiners else [baseline, *refiners],
        seeds=pick("seed"),
        protocols=pick("protocol"),
        limit=pick("limit"),
        metrics=pick("metric"),
        skip_errors=skip_errors,
    )


def in_experiment(settings: Settings, name: str) -> Callable[[Manifest], bool]:
    """Whether a stored cell belongs to the experiment. Raises UserError where there is no such experiment."""
    parts = [_belongs(settings, name, part) for part in settings.experiment(name)]
    return lambda cell: any(belongs(cell) for belongs in parts)


def _belongs(settings: Settings, name: str, experiment: Experiment) -> Callable[[Manifest], bool]:
    pick = _Pick(settings.defaults, experiment, {})

    def labels(kind: Kind, specs: Sequence[str]) -> set[str]:
        return {resolve(kind, spec, settings, where=f"experiments.{name}.{kind}").label for spec in specs}

    datasets, bases = labels("dataset", pick("dataset")), labels("base", pick("base"))
    refiners = labels("refiner", [settings.defaults.baseline, *pick.refiners(settings)])
    seeds, protocols = set(pick("seed")), set(pick("protocol"))

    def belongs(cell: Manifest) -> bool:
        named = cell.dataset in datasets and cell.base in bases and cell.refiner in refiners
        return named and cell.seed in seeds and cell.protocol in protocols and cell.limit == experiment.limit

    return belongs


def predict(
    *,
    dataset: str,
    base: str,
    out: Path,
    splits: Sequence[Split] = SPLITS,
    seed: int = 0,
    device: Literal["auto", "cpu", "cuda"] | None = None,
    limit: int | None = None,
    config: Path | None = None,
) -> int:
    """Write a base's maps as 16-bit PNG, one a sample: what ``bench score`` and ``maps[path=...]`` read.

    Maps that ``out`` already holds are not computed again. Bases that need training are for `run`.

    Returns:
        The number of maps in ``out`` for the chosen splits.

    Raises:
        UserError: as `run`; or the base has no checkpoint.
    """
    settings = load(config)
    where = pick_device(device or settings.defaults.device)
    network = load_base(base, settings=settings, device=where, seed=seed)
    if network.trainable:
        raise UserError(
            f"{base} has no checkpoint", "--base", "give one with weights=FILE, or train it with 'bench run'"
        )
    opened = narrowed(whole_splits(load_dataset(dataset, settings=settings)), network, limit)
    make_out(out)
    count = 0
    for split in splits:
        samples = opened[split]
        missing = [sample_id for sample_id in samples.ids if not (out / f"{sample_id}.png").is_file()]
        todo = Subset(samples, missing)
        for index in track(range(len(todo)), f"{split} maps of {base}"):
            sample = todo[index]
            (probs,) = network.predict([sample])
            write_map(out / f"{sample.id}.png", probs)
        count += len(samples)
    return count


def _begin(jobs: list[Job], result: RunResult) -> list[Job]:
    """Enter the cells that the store lacks into it; those of them that can be computed."""
    pending = [job for job in jobs if job.cell.manifest.key not in result.reused]
    _say_what_is_reused(len(jobs), len(pending))
    for job in jobs:
        if job.cell.manifest.key in result.reused:
            result.store.refresh(job.cell.manifest)
    for job in pending:
        result.store.write(job.cell.manifest)
        if job.cell.error:
            _record_failure(result, job.cell.manifest, job.cell.error, said=True)
    return [job for job in pending if not job.cell.error]


def _say_what_is_reused(cells: int, pending: int) -> None:
    if not pending:
        note(f"all {cells} cells are in the store: nothing to compute (--force computes them again)")
    elif pending < cells:
        note(f"{cells - pending} of {cells} cells are in the store; {pending} to compute")


def _execute(jobs: list[Job], result: RunResult, *, engine: str, on_error: str) -> None:
    fatal: list[engines.Outcome] = []

    def report(stage: runner.Stage, outcome: engines.Outcome) -> bool:
        if outcome.error:
            if on_error == "fail":
                fatal.append(outcome)
            if stage.cell is not None:
                _record_failure(result, stage.cell, outcome.error, said=not fatal)
            elif on_error == "fail":
                # The cells that wait for this stage fail with it.
                for job in jobs:
                    if not result.store.is_done(job.cell.manifest) and _waits_for(job, stage):
                        _record_failure(result, job.cell.manifest, outcome.error, said=False)
        elif stage.cell is not None:
            note(f"done: {stage.name}")
        return not fatal

    engines.load(engine)(list(runner.stages(jobs)), report)
    if fatal:
        raise fatal[0].user_error or CellError(fatal[0].trace)


def _waits_for(job: Job, stage: runner.Stage) -> bool:
    return any(stage.name in later.needs for later in runner.stages([job]))


def _record_failure(result: RunResult, cell: Manifest, error: str, *, said: bool) -> None:
    """Record it in the store; say it too where the run goes on, as the error that stops a run is said at its end."""
    if said:
        note(f"failed: {cell.dataset} > {cell.base} > {cell.refiner}: {error}")
    result.failures[cell.key] = error
    written = datetime.now(UTC).isoformat(timespec="seconds")
    result.store.write(cell.model_copy(update={"status": "failed", "error": error, "written": written}))
