"""What cells have in common, looked at once: their metrics, their dataset and base, their seed and protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bench.config import Settings, TrainingProtocol
from bench.contracts import SPLITS, AsksBase, BaseNetwork, GoesByName, PartialBase, Split, UserError
from bench.execution.cell import Cell
from bench.execution.contamination import corpora, overlap, seen
from bench.execution.opened import Opened
from bench.metrics import METRIC_VERSION
from bench.metrics.columns import RULES
from bench.plugins import metrics as plugged_in
from bench.plugins.narrowing import Narrowing
from bench.plugins.variants import Variant, digest
from bench.runtime.failures import summarised
from bench.store import LAYOUT, Manifest


class MoreMetrics:
    """The plugged-in metrics that all cells of a grid are scored by."""

    def __init__(self, variants: dict[str, Variant]) -> None:
        self.variants = variants
        self.columns = plugged_in.columns(plugged_in.made(variants))
        # The label too: it is the name of the column in the records.
        listed = [{"label": label, **variants[label].identity} for label in sorted(variants)]
        self.identity = {"plugged_in_metrics": listed} if listed else {}


@dataclass(frozen=True)
class Looked:
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


class Based:
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
        self._looked: dict[tuple[str, str], Looked] = {}

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

    def look_at(self, refiner: Variant, *, skip_errors: bool) -> Looked:
        """Make a refiner and look at it; the same one only once."""
        key = refiner.label, digest(refiner.identity)
        if key not in self._looked:
            self._looked[key] = self._look_at(refiner, skip_errors)
        return self._looked[key]

    def _look_at(self, refiner: Variant, skip_errors: bool) -> Looked:
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
        return Looked(Narrowing(refiner, made), scored, saw, fitted, made.uses_ground_truth, error)


class Context:
    """What the cells of one (dataset, base, protocol, seed) share."""

    def __init__(self, based: Based, seed: int, protocol: TrainingProtocol, more_metrics: MoreMetrics) -> None:
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
