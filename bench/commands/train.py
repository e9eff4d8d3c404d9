"""`train_base`, `train_refiner`, `tune`: a run's learning stages, alone; a later run on the same store reuses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.config import Device, Grid, Settings, TrainingProtocol, load
from bench.contracts import UserError
from bench.execution import stages as runner
from bench.execution.job import Job
from bench.execution.plan import training
from bench.metrics.columns import Objective
from bench.plugins.entry_points import check_parameters
from bench.plugins.variants import Variant, resolve
from bench.runtime.environment import pick_device
from bench.store import Learned, Store
from bench.training.weights import WEIGHTS


def train_base(
    base: str,
    *,
    dataset: str,
    seed: int = 0,
    protocol: TrainingProtocol = "A",
    epochs: int | None = None,
    parameters: Sequence[str] = (),
    store: Path | str | None = None,
    device: Device | None = None,
    limit: int | None = None,
    config: Path | None = None,
) -> Path:
    """Train a base on a dataset, or go on with a training that was stopped.

    Args:
        base: ``name[key=value,...]``.
        protocol, parameters, limit: as `bench.commands.run.run`.
        epochs: the base's parameter ``epochs``, over what its name says.
        store: where the run that reuses the base will look.

    Returns:
        The folder with the weights (``weights.safetensors`` for a base of ours) and the log of the training.

    Raises:
        UserError: a name, file or parameter is wrong, or the base has nothing to learn.
    """
    options = Grid.of(
        dataset=[dataset], base=[base], seed=[seed], protocol=[protocol], epochs=epochs, limit=limit, device=device
    )
    settings = load(config, parameters)
    job = _job(settings, options, store)
    if not job.cell.base_trainable:
        raise UserError(
            f"{base} has nothing to learn", "bench train base", "name a base without a checkpoint of its own"
        )
    job.store.open_for_writing()
    runner.fit_base(job)
    return job.trained_base.folder


def train_refiner(
    refiner: str,
    *,
    dataset: str,
    base: str,
    seed: int = 0,
    epochs: int | None = None,
    parameters: Sequence[str] = (),
    store: Path | str | None = None,
    device: Device | None = None,
    limit: int | None = None,
    config: Path | None = None,
) -> Path:
    """Train a refiner on a base's maps of val; the base is trained first where it has to be.

    One that comes with weights of others is trained anew: ``cascadepsp`` as ``cascadepsp[weights=train]``.

    Args:
        refiner, base: ``name[key=value,...]``.
        epochs: the refiner's parameter ``epochs``, over what its name says.
        parameters, store, limit: as `train_base`.

    Returns:
        The folder with what the refiner learned.

    Raises:
        UserError: a name, file or parameter is wrong, or the refiner has nothing to learn.
    """
    options = Grid.of(dataset=[dataset], base=[base], seed=[seed], protocol=["A"], limit=limit, device=device)
    of_the_refiner = Grid.of(epochs=epochs)
    settings = load(config, parameters)
    variant = resolve("refiner", refiner, settings).having("epochs", of_the_refiner.epochs).with_own_weights()
    job = _job(settings, options, store, variant)
    if not job.cell.fit_key:
        raise UserError(f"{refiner} learns nothing", "bench train refiner", "use it with 'bench run' as it is")
    return _fitted(job).folder


@dataclass(frozen=True)
class TuneResult:
    """What a tuning found.

    Attributes:
        refiner: the tuned variant, as a run on the same store names it.
        fixed: the same parameters written out, for use anywhere.
        parameters: those that were searched, with the values that did best.
        score, default_score: mean of the objective over the val images it was judged on, best and with the defaults.
        images: number of val images; a refiner that learns was judged on half of them.
    """

    dataset: str
    base: str
    refiner: str
    fixed: str
    parameters: dict[str, Any]
    objective: str
    score: float
    default_score: float
    trials: int
    images: int
    store: Path


def tune(
    refiner: str,
    *,
    trials: int,
    objective: Objective | None = None,
    dataset: str | None = None,
    base: str | None = None,
    seed: int = 0,
    parameters: Sequence[str] = (),
    store: Path | str | None = None,
    device: Device | None = None,
    limit: int | None = None,
    config: Path | None = None,
) -> TuneResult:
    """Search a refiner's parameters on a base's maps of val; go on with a search that was stopped.

    Args:
        refiner: ``name[key=value,...]``; parameters it carries are not searched.
        trials: how many parameter sets are tried, the defaults first.
        objective: the metric whose mean over val decides; None is ``iou``.
        dataset, base: None is the first of ``[defaults]``.
        parameters, store, limit: as `train_base`.

    Raises:
        UserError: a name, file or parameter is wrong, the refiner has nothing to tune, or optuna is missing.
    """
    options = Grid.of(
        {"tune": "--trials"},
        dataset=dataset and [dataset],
        base=base and [base],
        seed=[seed],
        protocol=["A"],
        tune=trials,
        objective=objective,
        limit=limit,
        device=device,
    )
    settings = load(config, parameters)
    given = resolve("refiner", refiner, settings)
    variant = given.tuned(options.tune, options.objective)
    if variant.search is None:
        raise UserError(f"{refiner} has nothing to tune", "--refiner", "use it with 'bench run' as it is")
    job = _job(settings, options, store, variant)
    found = _fitted(job).tuned
    assert found is not None  # the stages up to it have run
    fixed = given
    for name, value in found["parameters"].items():
        fixed = fixed.having(name, value)
    manifest = job.cell.manifest
    return TuneResult(
        dataset=manifest.dataset,
        base=manifest.base,
        refiner=variant.spec,
        fixed=fixed.spec,
        images=len(job.cell.ids["val"]),
        store=job.store.root,
        **found,
    )


def weights_in(folder: Path) -> Path | None:
    """The checkpoint that a training left in a folder, where it left one by our own loop."""
    path = folder / WEIGHTS
    return path if path.is_file() else None


def _fitted(job: Job) -> Learned:
    """Where the refiner's learning is, once the stages up to it have run."""
    job.store.open_for_writing()
    if job.cell.base_trainable:
        runner.fit_base(job)
    runner.predict_val(job)
    runner.fit_refiner(job)
    return job.fitted_refiner


def _job(settings: Settings, options: Grid, store: Path | str | None, refiner: Variant | None = None) -> Job:
    """The one cell of the options; of several datasets or bases by default, the first of each."""
    check_parameters(settings)
    grid = options.over(settings.defaults)
    target = Store(Path(store or settings.defaults.store).absolute())
    return Job(training(grid, settings, refiner), target, pick_device(grid.device))
