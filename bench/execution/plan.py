"""Grid -> cells. A cell's identity is a hash of everything that changes its numbers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any, Literal

from bench.config import Defaults, Settings, TrainingProtocol
from bench.contracts import (
    SPLITS,
    AsksBase,
    BaseNetwork,
    Dataset,
    DatasetSource,
    Episodic,
    GoesByName,
    PartialBase,
    Split,
    UserError,
)
from bench.datasets.planned import Contents, reading_of
from bench.datasets.splits import drawn
from bench.datasets.subset import Joined, Part, Subset
from bench.execution.contamination import corpora, overlap, seen
from bench.metrics import METRIC_VERSION
from bench.metrics.columns import RULES
from bench.plugins import metrics as plugged_in
from bench.plugins.narrowing import Narrowing
from bench.plugins.variants import Variant, digest, resolve
from bench.runtime.failures import summarised
from bench.runtime.progress import note
from bench.store import LAYOUT, Manifest


@dataclass(frozen=True)
class Cell:
    """The unit of work, of storage and of resume. It is picklable; keys name what is cached.

    Attributes:
        base_key: identity of the base's checkpoint; with a split's fingerprint, of its maps.
        fit_key: identity of the fitted refiner, "" where the refiner learns nothing.
        inner_fits: of one that is made of refiners: what fits of others are called that its own may take over, by place
            in its folder; those of the first that are there, see `bench.plugins.variants.Variant.foundations`.
        ids: the samples of each split as this base sees them.
        scored: the test samples that the refiner is scored on: all, but for one that has maps of some only.
        prints: the fingerprints of val and test.
        contents: what the samples of each split that is used hold.
        reading: what the dataset's files were taken for.
        narrowed: the base and the refiner, for parts of a split; {} of a part.
        metrics: the plugged-in metrics that it is scored by, too, by column.
        manifest: what the store will hold, still without numbers.
        asked: the grid names the refiner; False for a baseline that joined.
        baseline_key: that of the cell that its gains are over; "" where there is none.
        error: why the refiner cannot be made here, for a cell that is recorded as failed; else "".
    """

    dataset: Variant
    base: Variant
    refiner: Variant
    seed: int
    protocol: TrainingProtocol
    base_trainable: bool
    base_key: str
    fit_key: str
    inner_fits: list[dict[str, str]]
    ids: dict[Split, tuple[str, ...]]
    scored: tuple[str, ...]
    prints: dict[Split, str]
    contents: dict[Split, Contents]
    reading: str
    narrowed: dict[Literal["base", "refiner"], Narrowing]
    metrics: dict[str, Variant]
    manifest: Manifest
    asked: bool = True
    baseline_key: str = ""
    error: str = ""

    def of_run(self, generation: int) -> Cell:
        """With the generation of the run that computes it."""
        return replace(self, manifest=self.manifest.model_copy(update={"generation": generation}))


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


def _check_named(refiners: Sequence[Variant], contexts: Sequence[_Context]) -> None:
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


def _contexts(picked: Chosen, grid: Defaults, settings: Settings, *, scored: bool) -> list[_Context]:
    @cache
    def opened(dataset: int) -> Opened:
        # Once for all bases and seeds: a split remembers the hash of its files.
        return Opened(picked.datasets[dataset].make(), grid.limit)

    @cache
    def based(dataset: int, base: int) -> _Based:
        return _Based(settings, picked.datasets[dataset], picked.bases[base], opened(dataset), scored)

    metrics = _MoreMetrics(picked.metrics)
    return [
        _Context(based(dataset, base), seed, protocol, metrics)
        for dataset, base, protocol, seed in itertools.product(
            range(len(picked.datasets)), range(len(picked.bases)), grid.protocol, grid.seed
        )
    ]


def training_splits(train: Dataset, val: Dataset, protocol: TrainingProtocol) -> tuple[Dataset, Dataset]:
    """What `BaseNetwork.fit` gets under a protocol: what it trains on, and what it chooses its epoch on, or nothing."""
    return (train, val) if protocol == "A" else (Joined(train, val), Subset(val, []))


class Opened:
    """A dataset's splits, as the bases of a grid see them.

    Args:
        source: the dataset.
        limit: of each split a random sample of so many is taken; None takes all.
    """

    def __init__(self, source: DatasetSource, limit: int | None) -> None:
        self.source, self.limit = source, limit
        self.whole: dict[Split, Dataset] = {name: source.split(name) for name in SPLITS}
        # Kept, as a part remembers the hash of its files.
        self._parts: dict[tuple[Split, frozenset[str]], Part] = {}
        self._contents: dict[int, tuple[Dataset, Contents]] = {}

    def covered(self, base: BaseNetwork) -> dict[Split, Dataset]:
        """The splits without a limit: those samples that a partial base has maps for."""
        if not isinstance(base, PartialBase):
            return self.whole
        # Both splits in one question, so that an error counts every gap at once.
        asked = [sample_id for name in ("val", "test") for sample_id in self.whole[name].ids]
        covered = base.covered(asked)
        if len(covered) < len(asked):
            gone = len(asked) - len(covered)
            note(f"{gone} of {len(asked)} samples of val and test have no map; they are dropped")
        return self.whole | {name: Subset(self.whole[name], covered) for name in ("val", "test")}

    def limited(self, splits: dict[Split, Dataset]) -> dict[Split, Dataset]:
        """What the limit leaves of each split; one that it does not cut is as it was."""
        return {name: self._limited(name, split) for name, split in splits.items()}

    def contents(self, name: Split, split: Dataset) -> Contents:
        """What its samples hold, as all bases that see this same split share it."""
        if id(split) not in self._contents:  # kept with it, so that the number stays its own
            self._contents[id(split)] = split, Contents.of(split, self.whole[name])
        return self._contents[id(split)][1]

    @cached_property
    def reading(self) -> str:
        """What the dataset's files are taken for. Raises UserError where that is unclear."""
        return reading_of(self.source)

    def _limited(self, name: Split, split: Dataset) -> Dataset:
        if self.limit is None or len(split) <= self.limit:
            return split
        classes: dict[str, str] = {}
        if isinstance(self.source, Episodic):
            episodes = self.source.episodes(name)
            classes = {query: label for label, episode in episodes.items() for query in episode["query"]}
        chosen = frozenset(drawn(split.ids, self.limit, classes))
        return self._parts.setdefault((name, chosen), Part(self.whole[name], chosen))


class _MoreMetrics:
    """The plugged-in metrics that all cells of a grid are scored by."""

    def __init__(self, variants: dict[str, Variant]) -> None:
        self.variants = variants
        self.columns = plugged_in.columns(plugged_in.made(variants))
        # The label too: it is the name of the column in the records.
        listed = [{"label": label, **variants[label].identity} for label in sorted(variants)]
        self.identity = {"plugged_in_metrics": listed} if listed else {}


@dataclass(frozen=True)
class _Looked:
    """What is known of a refiner before it is at work.

    Attributes:
        narrowing: for parts of a split.
        scored: the test samples that it is scored on.
        saw: names of the corpora of the test split that it has learned from.
        fitted: it learns something.
        uses_ground_truth: as `bench.contracts.Refiner`.
        error: why it cannot be made; "" where it can.
    """

    narrowing: Narrowing
    scored: tuple[str, ...]
    saw: list[str]
    fitted: bool
    uses_ground_truth: bool
    error: str


class _Based:
    """What the cells of one dataset and base share, of all seeds and protocols.

    Of a base or refiner is made one, to look at: what it is does not depend on its seed.
    """

    def __init__(self, settings: Settings, dataset: Variant, base: Variant, opened: Opened, scored: bool) -> None:
        self.settings, self.dataset, self.base, self.opened = settings, dataset, base, opened
        network: BaseNetwork = base.make(device="cpu", seed=0)
        self.narrowing = Narrowing(base, network)
        whole = opened.covered(network)
        self.splits = opened.limited(whole)
        # A base that is trained already has no use for the train split.
        used: Sequence[Split] = SPLITS if network.trainable else ("val", "test")
        self.largest = max(len(whole[name]) for name in used)
        # A limit that cuts nothing makes no other cells: they are found again without it.
        self.limit = opened.limit if any(len(self.splits[name]) < len(whole[name]) for name in used) else None
        self.trainable, self.partial = network.trainable, isinstance(network, PartialBase)
        self.complete = opened.source.completeness()
        self.corpora = corpora(opened.source, "test")
        self.saw = overlap(self.corpora, seen(network, base, settings))
        if scored:
            self.need("test", "every cell is scored on it")
        self.ids = {name: tuple(split.ids) for name, split in self.splits.items()}
        self.contents = {name: opened.contents(name, self.splits[name]) for name in used if len(self.splits[name])}
        self._prints: dict[Split, str] = {}
        self._looked: dict[tuple[str, str], _Looked] = {}

    def print(self, split: Split) -> str:
        """Its fingerprint; "" of one without samples."""
        if split not in self._prints:
            self._prints[split] = self.splits[split].fingerprint() if len(self.splits[split]) else ""
        return self._prints[split]

    def need(self, split: Split, reason: str) -> None:
        """Raises UserError where it has no samples."""
        if not len(self.splits[split]):
            raise UserError(
                f"{self.dataset.label} has no {split} images here", f"--dataset {self.dataset.spec}", reason
            )

    def identity(self, protocol: TrainingProtocol, seed: int) -> dict[str, Any]:
        """All that changes the checkpoint of the base."""
        if protocol == "B" and not self.trainable:
            raise UserError(
                f"{self.base.spec} has its weights already", "protocol B", "it trains the base on train and val; use A"
            )
        identity: dict[str, Any] = {"base": self.base.identity, "protocol": protocol}
        if self.trainable:
            reason = f"{self.base.spec} is trained on it; give it a checkpoint with weights=FILE, or another dataset"
            self.need("train", reason)
            self.need("val", f"the best epoch of {self.base.spec} is chosen on it")
            identity |= {"seed": seed, "train": self.print("train"), "val": self.print("val")}
        return identity

    def look_at(self, refiner: Variant, *, skip_errors: bool) -> _Looked:
        """Make a refiner and look at it; the same one only once."""
        key = refiner.label, digest(refiner.identity)
        if key not in self._looked:
            self._looked[key] = self._look_at(refiner, skip_errors)
        return self._looked[key]

    def _look_at(self, refiner: Variant, skip_errors: bool) -> _Looked:
        error, saw, scored = "", [], self.ids["test"]
        try:
            made = refiner.make(device="cpu", seed=0)
            if isinstance(made, GoesByName):
                scored = tuple(made.covered(scored))
                if not scored:
                    fix = "name its maps by the samples' ids"
                    raise UserError(f"no test image has a map of {refiner.spec}", f"--refiner {refiner.spec}", fix)
            if isinstance(made, AsksBase) and self.partial:
                said = f"{refiner.spec} asks for maps of images of its own making"
                raise UserError(said, f"--base {self.base.spec}", "name a base that is a network")
            saw = overlap(self.corpora, seen(made, refiner, self.settings))
        except Exception as problem:
            # A plug-in may raise anything.
            if not skip_errors:
                raise
            made, error = refiner.entry.factory, summarised(problem)
        # Of one that could not be made the class may not know: that may depend on its parameters.
        fitted = bool(refiner.searches or getattr(made, "trainable", False))
        return _Looked(Narrowing(refiner, made), scored, saw, fitted, made.uses_ground_truth, error)


class _Context:
    """What the cells of one (dataset, base, protocol, seed) share."""

    def __init__(self, based: _Based, seed: int, protocol: TrainingProtocol, more_metrics: _MoreMetrics) -> None:
        self.based, self.seed, self.protocol, self.more_metrics = based, seed, protocol, more_metrics
        self.dataset, self.base = based.dataset, based.base
        self.base_identity = based.identity(protocol, seed)
        self.base_key = digest(self.base_identity)

    def placed(self, refiner: Variant) -> Variant:
        """With a path that names the dataset, the base or the seed of these cells, see `Variant.placed`."""
        return refiner.placed(dataset=self.dataset.label, base=self.base.label, seed=str(self.seed))

    def cell(self, refiner: Variant, position: int, *, asked: bool, skip_errors: bool) -> Cell:
        based, refiner = self.based, self.placed(refiner)
        looked = based.look_at(refiner, skip_errors=skip_errors)
        fit_key = ""
        inner_fits: list[dict[str, str]] = []
        if looked.fitted:
            based.need("val", f"{refiner.spec} is fitted on it")
            fit = {"base": self.base_key, "refiner": refiner.identity, "seed": self.seed, "val": based.print("val")}
            fit_key = digest(fit)
            inner_fits = [
                {place: digest(fit | {"refiner": one.identity}) for place, one in others.items()}
                for others in refiner.foundations
            ]
        identity = {
            "dataset": self.dataset.identity,
            "base": self.base_identity,
            "refiner": refiner.identity,
            "fit": fit_key,
            "test": based.print("test"),
            "seed": self.seed,
            "protocol": self.protocol,
            "limit": based.limit,
            "metrics": METRIC_VERSION,
            **self.more_metrics.identity,
        }
        sources: dict[Literal["base", "refiner"], list[str]] = {"base": based.saw, "refiner": looked.saw}
        manifest = Manifest(
            key=digest(identity),
            layout=LAYOUT,
            status="planned",
            dataset=self.dataset.label,
            base=self.base.label,
            refiner=refiner.label,
            names={"dataset": self.dataset.name, "base": self.base.name, "refiner": refiner.name},
            seed=self.seed,
            protocol=self.protocol,
            rules=RULES,
            limit=based.limit,
            drawn=based.limit is not None,
            largest=based.largest,
            position=position,
            uses_ground_truth=looked.uses_ground_truth,
            complete=based.complete,
            metrics=self.more_metrics.columns,
            contaminated=[name for name in based.corpora if name in (*based.saw, *looked.saw)],
            contaminated_by=[who for who, found in sources.items() if found],
            identity=identity,
        )
        return Cell(
            dataset=self.dataset,
            base=self.base,
            refiner=refiner,
            seed=self.seed,
            protocol=self.protocol,
            base_trainable=based.trainable,
            base_key=self.base_key,
            fit_key=fit_key,
            inner_fits=inner_fits,
            ids=based.ids,
            scored=looked.scored,
            prints={"val": based.print("val"), "test": based.print("test")},
            contents=based.contents,
            reading=based.opened.reading,
            narrowed={"base": based.narrowing, "refiner": looked.narrowing},
            metrics=self.more_metrics.variants,
            manifest=manifest,
            asked=asked,
            error=looked.error,
        )
