"""`train_base`, `train_refiner`: a run's learning stages, alone; a later run on the same store reuses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.config import Device, Grid, Settings, TrainingProtocol, load
from bench.contracts import UserError
from bench.execution import engines, stages
from bench.execution.job import Job
from bench.execution.plan import training
from bench.plugins.entry_points import check_parameters
from bench.plugins.variants import Variant, resolve
from bench.runtime.environment import pick_device
from bench.store import Learned, Store, Training
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
        base, dataset: ``name[key=value,...]``.
        seed: of all that is drawn.
        protocol, parameters, limit, device, config: as `bench.commands.run.run`.
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
    job = job_of(settings, options, store)
    if not job.cell.base_trainable:
        raise UserError(
            f"{base} has nothing to learn", "bench train base", "name a base without a checkpoint of its own"
        )
    return _carried_out(job, job.trained_base).folder


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
        refiner, base, dataset: ``name[key=value,...]``.
        epochs: the refiner's parameter ``epochs``, over what its name says.
        seed, parameters, store, limit, device, config: as `train_base`.

    Returns:
        The folder with what the refiner learned.

    Raises:
        UserError: a name, file or parameter is wrong, or the refiner has nothing to learn.
    """
    options = Grid.of(dataset=[dataset], base=[base], seed=[seed], protocol=["A"], limit=limit, device=device)
    of_the_refiner = Grid.of(epochs=epochs)
    settings = load(config, parameters)
    variant = resolve("refiner", refiner, settings).having("epochs", of_the_refiner.epochs).with_own_weights()
    job = job_of(settings, options, store, variant)
    if not job.cell.fit_key:
        raise UserError(f"{refiner} learns nothing", "bench train refiner", "use it with 'bench run' as it is")
    return fitted(job).folder


def weights_in(folder: Path) -> Path | None:
    """The checkpoint that a training left in a folder, where it left one by our own loop."""
    path = folder / WEIGHTS
    return path if path.is_file() else None


def fitted(job: Job) -> Learned:
    """Where the refiner's learning is, once the stages up to it have run."""
    return _carried_out(job, job.fitted_refiner)


def job_of(settings: Settings, options: Grid, store: Path | str | None, refiner: Variant | None = None) -> Job:
    """The one cell of the options; of several datasets or bases by default, the first of each."""
    check_parameters(settings)
    grid = options.over(settings.defaults)
    target = Store(store or settings.defaults.store)
    return Job(training(grid, settings, refiner), target, pick_device(grid.device), own_process=False)


def _carried_out(job: Job, wanted: Training) -> Learned:
    """Run the stages up to a training here, and what it has left; other processes may do part of it."""
    job.check_fits()
    job.store.open_for_writing()
    job.store.tidy()
    job = replace(job, generation=job.store.generation())
    todo = list(stages.stages([job]))
    last = next(index for index, stage in enumerate(todo) if stage.task == wanted.task)

    def told(stage: stages.Stage, outcome: engines.Outcome) -> bool:
        if outcome.raised is not None:
            raise outcome.raised
        return True

    with job.store.leases.keeping():
        engines.load("inline")(todo[: last + 1], told, engines.Placement())
    job.store.tidy()
    found = wanted.find()
    if found is None:
        raise UserError("what was learned is gone or damaged", wanted.name, "run the same command again")
    return found
