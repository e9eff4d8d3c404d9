"""A cell: one dataset, base, refiner, protocol and seed, and all that is known of it before it is computed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from bench.config import TrainingProtocol
from bench.contracts import Split
from bench.datasets.planned import Contents
from bench.plugins.narrowing import Narrowing
from bench.plugins.variants import Variant
from bench.store import Manifest


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
