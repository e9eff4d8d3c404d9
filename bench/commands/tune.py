"""`tune`: a run's search for a refiner's parameters, alone; a later run on the same store reuses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.commands.train import fitted, job_of
from bench.config import Device, Grid, load
from bench.contracts import UserError
from bench.metrics.columns import Objective
from bench.plugins.variants import SequenceVariant, resolve


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
    store: str


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
        seed, parameters, store, limit, device, config: as `train_base`.

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
    if isinstance(given, SequenceVariant):
        fix = f"tune its parts in a run: bench run --refiner '{given.tuned(options.tune, options.objective).spec}'"
        raise UserError(f"{refiner} is a sequence", "--refiner", fix)
    variant = given.tuned(options.tune, options.objective)
    if variant.search is None:
        raise UserError(f"{refiner} has nothing to tune", "--refiner", "use it with 'bench run' as it is")
    job = job_of(settings, options, store, variant)
    found = fitted(job).tuned
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
        store=job.store.address,
        **found,
    )
