"""Grid -> cells. A cell's identity is a hash of everything that changes its numbers."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from bench.config import Settings, TrainingProtocol
from bench.contracts import SPLITS, AsksBase, BaseNetwork, Dataset, DatasetSource, PartialBase, Split, UserError
from bench.datasets.subset import Joined, Subset
from bench.ledger import corpora, overlap, seen
from bench.metrics import METRIC_VERSION
from bench.plugins import metrics as plugged_in
from bench.registry import Variant, load_dataset, resolve
from bench.store import Manifest


@dataclass(frozen=True)
class Cell:
    """The unit of work, of storage and of resume. Specs are as the user wrote them; keys name what is cached.

    Attributes:
        base_key: identity of the base's checkpoint; with a split's fingerprint, of its maps.
        fit_key: identity of the fitted refiner, "" where the refiner learns nothing.
        ids: the samples of each split as this base sees them.
        prints: the fingerprints of val and test.
        metrics: the plugged-in metrics that it is scored by, too.
        manifest: what the store will hold, still without numbers.
        error: why the refiner cannot be made here, for a cell that is recorded as failed; else "".
    """

    dataset: str
    base: str
    refiner: str
    seed: int
    protocol: TrainingProtocol
    limit: int | None
    base_trainable: bool
    base_key: str
    fit_key: str
    ids: dict[Split, tuple[str, ...]]
    prints: dict[Split, str]
    metrics: tuple[str, ...]
    manifest: Manifest
    error: str = ""


def grid(
    settings: Settings,
    *,
    datasets: Sequence[str],
    bases: Sequence[str],
    refiners: Sequence[str],
    seeds: Sequence[int],
    protocols: Sequence[TrainingProtocol] = ("A",),
    limit: int | None = None,
    metrics: Sequence[str] = (),
    skip_errors: bool = False,
    scored: bool = True,
) -> list[Cell]:
    """All cells of a grid, dataset > base > protocol > seed > refiner. Nothing is computed, but files are hashed.

    Args:
        protocols: see `bench.config.TrainingProtocol`. Under B nothing is left to fit a refiner on: those that learn
            have no cell there.
        metrics: plug-ins to score by, beside the built-in metrics.
        skip_errors: a refiner that cannot be made (its weights are absent, say) gives cells with an ``error``.
        scored: whether the cells will be scored; a training alone does without test images.

    Raises:
        UserError: a name, parameter or file is wrong, or a split that a cell needs is empty.
    """
    variants = [resolve("refiner", refiner, settings) for refiner in refiners]
    more_metrics = _MoreMetrics(settings, tuple(metrics))

    @cache
    def opened(dataset: str) -> tuple[DatasetSource, dict[Split, Dataset]]:
        # Once for all bases and seeds: a split remembers the hash of its files.
        source = load_dataset(dataset, settings=settings)
        return source, whole_splits(source)

    cells: list[Cell] = []
    for dataset, base, protocol, seed in itertools.product(datasets, bases, protocols, seeds):
        context = _Context(settings, dataset, base, seed, protocol, limit, opened, more_metrics, scored)
        planned = (
            context.cell(spec, variant, position, skip_errors)
            for position, (spec, variant) in enumerate(zip(refiners, variants, strict=True))
        )
        cells += [cell for cell in planned if protocol == "A" or not cell.fit_key]
    return cells


def training_splits(train: Dataset, val: Dataset, protocol: TrainingProtocol) -> tuple[Dataset, Dataset]:
    """What `BaseNetwork.fit` gets under a protocol: what it trains on, and what it chooses its epoch on, or nothing."""
    return (train, val) if protocol == "A" else (Joined(train, val), Subset(val, []))


def whole_splits(source: DatasetSource) -> dict[Split, Dataset]:
    """All splits of a dataset."""
    return {name: source.split(name) for name in SPLITS}


def narrowed(splits: dict[Split, Dataset], base: BaseNetwork, limit: int | None) -> dict[Split, Dataset]:
    """The splits, cut to ``limit`` samples each and to those that a partial base has maps for."""
    if isinstance(base, PartialBase):
        # Both splits in one question, so that an error counts every gap at once.
        covered = base.covered([sample_id for name in ("val", "test") for sample_id in splits[name].ids])
        splits = splits | {name: Subset(splits[name], covered) for name in ("val", "test")}
    if limit is not None:
        splits = {name: Subset(split, split.ids[:limit]) for name, split in splits.items()}
    return splits


def digest(identity: dict[str, Any]) -> str:
    """Hex key of a JSON-able identity."""
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class _MoreMetrics:
    """The plugged-in metrics that all cells of a grid are scored by."""

    def __init__(self, settings: Settings, specs: tuple[str, ...]) -> None:
        variants = plugged_in.chosen(specs, settings)
        self.specs = specs
        self.columns = plugged_in.columns(plugged_in.made(variants))
        # Without any, cells keep the identity that they had before metrics could be plugged in.
        listed = [variants[label].identity() for label in sorted(variants)]
        self.identity = {"plugged_in_metrics": listed} if listed else {}


class _Context:
    """What the cells of one (dataset, base, seed) share."""

    def __init__(
        self,
        settings: Settings,
        dataset: str,
        base: str,
        seed: int,
        protocol: TrainingProtocol,
        limit: int | None,
        opened: Callable[[str], tuple[DatasetSource, dict[Split, Dataset]]],
        more_metrics: _MoreMetrics,
        scored: bool,
    ) -> None:
        self.dataset, self.base, self.seed, self.protocol, self.limit = dataset, base, seed, protocol, limit
        self.settings, self.more_metrics = settings, more_metrics
        self.dataset_label = resolve("dataset", dataset, settings).label
        variant = resolve("base", base, settings)
        self.base_label = variant.label
        network: BaseNetwork = variant.make(device="cpu", seed=seed)
        source, whole = opened(dataset)
        self.splits = narrowed(whole, network, limit)
        self.base_trainable, self.partial = network.trainable, isinstance(network, PartialBase)
        self.complete = source.completeness()
        self.corpora = corpora(source, "test")
        self.base_saw = overlap(self.corpora, seen(network, variant, settings))
        if scored:
            self._need("test", "every cell is scored on it")
        identity: dict[str, Any] = {"base": variant.identity(), "protocol": protocol}
        if protocol == "B" and not network.trainable:
            raise UserError(
                f"{base} has its weights already", "protocol B", "it trains the base on train and val; use A"
            )
        if network.trainable:
            self._need("train", f"{base} is trained on it; give it a checkpoint with weights=FILE, or another dataset")
            self._need("val", f"the best epoch of {base} is chosen on it")
            identity |= {"seed": seed, "train": self.splits["train"].fingerprint(), "val": self._print("val")}
        self.base_identity, self.base_key = identity, digest(identity)

    def cell(self, spec: str, variant: Variant, position: int, skip_errors: bool) -> Cell:
        error, saw = "", []
        try:
            refiner = variant.make(device="cpu", seed=self.seed)
            if isinstance(refiner, AsksBase) and self.partial:
                fix = "name a base that is a network"
                raise UserError(f"{spec} asks for maps of images of its own making", f"--base {self.base}", fix)
            saw = overlap(self.corpora, seen(refiner, variant, self.settings))
        except UserError as problem:
            if not skip_errors:
                raise
            refiner, error = variant.plugin.factory, str(problem)
        fit_key, own = "", variant.identity()
        # Of one that could not be made the class may not know: that may depend on its parameters.
        if variant.search is not None or getattr(refiner, "trainable", False):
            self._need("val", f"{spec} is fitted on it")
            fit = {"base": self.base_key, "refiner": own, "seed": self.seed, "val": self._print("val")}
            fit_key = digest(fit)
        identity = {
            "dataset": self.dataset_label,
            "base": self.base_identity,
            "refiner": own,
            "fit": fit_key,
            "test": self._print("test"),
            "seed": self.seed,
            "protocol": self.protocol,
            "metrics": METRIC_VERSION,
            **self.more_metrics.identity,
        }
        sources: dict[Literal["base", "refiner"], list[str]] = {"base": self.base_saw, "refiner": saw}
        manifest = Manifest(
            key=digest(identity),
            status="planned",
            dataset=self.dataset_label,
            base=self.base_label,
            refiner=variant.label,
            seed=self.seed,
            protocol=self.protocol,
            limit=self.limit,
            position=position,
            uses_ground_truth=refiner.uses_ground_truth,
            complete=self.complete,
            metrics=self.more_metrics.columns,
            contaminated=[name for name in self.corpora if name in (*self.base_saw, *saw)],
            contaminated_by=[who for who, found in sources.items() if found],
            identity=identity,
        )
        return Cell(
            dataset=self.dataset,
            base=self.base,
            refiner=spec,
            seed=self.seed,
            protocol=self.protocol,
            limit=self.limit,
            base_trainable=self.base_trainable,
            base_key=self.base_key,
            fit_key=fit_key,
            ids={name: tuple(split.ids) for name, split in self.splits.items()},
            prints={"val": self._print("val"), "test": self._print("test")},
            metrics=self.more_metrics.specs,
            manifest=manifest,
            error=error,
        )

    def _print(self, split: Split) -> str:
        return self.splits[split].fingerprint() if len(self.splits[split]) else ""

    def _need(self, split: Split, reason: str) -> None:
        if not len(self.splits[split]):
            raise UserError(f"{self.dataset_label} has no {split} images here", f"--dataset {self.dataset}", reason)
