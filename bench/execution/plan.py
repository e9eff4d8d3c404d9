"""Grid -> cells. A cell's identity is a hash of everything that changes its numbers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Literal

from bench.config import Defaults, Settings, TrainingProtocol
from bench.contracts import Dataset, GoesByName, UserError
from bench.datasets.subset import Joined, Subset
from bench.execution.cell import Cell
from bench.execution.contexts import Based, Context, MoreMetrics
from bench.execution.opened import Opened
from bench.plugins import metrics as plugged_in
from bench.plugins.variants import Variant, resolve


@dataclass(frozen=True)
class Chosen:
    """The variants of a grid, each read once.

    Attributes:
        refiners: those that are named, with the grid's tuning.
        baseline: joins every grid.
    """

    datasets: list[Variant]
    bases: list[Variant]
    refiners: list[Variant]
    baseline: Variant
    metrics: dict[str, Variant] = field(default_factory=dict)

    @property
    def rows(self) -> list[Variant]:
        """The refiners with the baseline, which comes first where it is not named."""
        named = any(refiner.label == self.baseline.label for refiner in self.refiners)
        return self.refiners if named else [self.baseline, *self.refiners]


def chosen(grid: Defaults, settings: Settings, where: str = "") -> Chosen:
    """The variants that a grid names.

    Args:
        where: what names them, for errors; by default the options of the command line.

    Raises:
        UserError: a name, parameter or file is wrong.
    """

    def variants(kind: Literal["dataset", "base", "refiner"], specs: Sequence[str]) -> list[Variant]:
        return [resolve(kind, spec, settings, where and f"{where}.{kind}") for spec in specs]

    return Chosen(
        datasets=variants("dataset", grid.dataset),
        bases=[base.having("epochs", grid.epochs) for base in variants("base", grid.base)],
        refiners=[
            refiner.having("epochs", grid.epochs).tuned(grid.tune, grid.objective)
            for refiner in variants("refiner", grid.refiner)
        ],
        baseline=resolve("refiner", grid.baseline, settings, "defaults.baseline"),
        metrics=plugged_in.chosen(grid.metric, settings, where and f"{where}.metric"),
    )


def cells(grid: Defaults, settings: Settings) -> list[Cell]:
    """All cells of a grid, dataset > base > protocol > seed > refiner. Nothing is computed, but files are hashed.

    Under protocol B nothing is left to fit a refiner on: those that learn have no cell there. With ``on_error="skip"``
    a refiner that cannot be made (its weights are absent, say) gives cells with an ``error``.

    Raises:
        UserError: a name, parameter or file is wrong, or a split that a cell needs is empty.
    """
    picked = chosen(grid, settings)
    contexts = _contexts(picked, grid, settings, scored=True)
    _check_named(picked.rows, contexts)
    found: list[Cell] = []
    for context in contexts:
        planned = [
            context.cell(refiner, position, asked=refiner in picked.refiners, skip_errors=grid.on_error == "skip")
            for position, refiner in enumerate(picked.rows)
        ]
        row = [cell for cell in planned if context.protocol == "A" or not cell.fit_key]
        over = next((cell.manifest.key for cell in row if cell.refiner.label == picked.baseline.label), "")
        found += [replace(cell, baseline_key=over) for cell in row]
    return found


def training(grid: Defaults, settings: Settings, refiner: Variant | None = None) -> Cell:
    """The one cell of a training: it does without test images, as it is not scored.

    Args:
        grid: of several datasets, bases, protocols or seeds, the first of each counts.
        refiner: None is the baseline, where a base alone is trained.

    Raises:
        UserError: as `cells`.
    """
    first = {key: getattr(grid, key)[:1] for key in ("dataset", "base", "protocol", "seed")}
    narrow = grid.model_copy(update={**first, "refiner": [], "metric": []})
    picked = chosen(narrow, settings)
    (context,) = _contexts(picked, narrow, settings, scored=False)
    return context.cell(refiner or picked.baseline, 0, asked=True, skip_errors=False)


def _check_named(refiners: Sequence[Variant], contexts: Sequence[Context]) -> None:
    """Raises UserError where maps that were refined elsewhere would be held against those of several bases."""
    for refiner in refiners:
        if isinstance(refiner.entry.factory, GoesByName):
            seen: dict[tuple[str, str], str] = {}
            for context in contexts:
                # Of one that its path tells apart, each base has maps of its own.
                place = str(context.placed(refiner).parameters)
                other = seen.setdefault((context.dataset.label, place), context.base_key)
                if other != context.base_key:
                    what = f"the maps of {refiner.spec} are of one base's, and would stand for several bases or seeds"
                    raise UserError(
                        what, "--refiner", "put {base}, {seed} or both into its path=, or run one at a time"
                    )


def _contexts(picked: Chosen, grid: Defaults, settings: Settings, *, scored: bool) -> list[Context]:
    @cache
    def opened(dataset: int) -> Opened:
        # Once for all bases and seeds: a split remembers the hash of its files.
        return Opened(picked.datasets[dataset].make(), grid.limit)

    @cache
    def based(dataset: int, base: int) -> Based:
        return Based(settings, picked.datasets[dataset], picked.bases[base], opened(dataset), scored)

    metrics = MoreMetrics(picked.metrics)
    return [
        Context(based(dataset, base), seed, protocol, metrics)
        for dataset, base, protocol, seed in itertools.product(
            range(len(picked.datasets)), range(len(picked.bases)), grid.protocol, grid.seed
        )
    ]


def training_splits(train: Dataset, val: Dataset, protocol: TrainingProtocol) -> tuple[Dataset, Dataset]:
    """What `BaseNetwork.fit` gets under a protocol: what it trains on, and what it chooses its epoch on, or nothing."""
    return (train, val) if protocol == "A" else (Joined(train, val), Subset(val, []))
