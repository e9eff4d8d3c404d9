"""A cell and where to work on it: its files in the store, its samples, its base, its refiner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.contracts import (
    AsksBase,
    BaseNetwork,
    Checked,
    Dataset,
    DatasetSource,
    Image,
    Metric,
    ProbabilityMap,
    Refiner,
    Sample,
    Split,
)
from bench.datasets.subset import Subset
from bench.execution.maps import MapCache, MapSplit
from bench.execution.plan import Cell, training_splits
from bench.plugins import metrics as plugged_in
from bench.plugins.calls import calling
from bench.plugins.outputs import taken
from bench.store import Learned, Store


@dataclass(frozen=True)
class Job:
    """A cell and where to work on it; everything a stage needs, and picklable.

    Attributes:
        workers: processes that the test images are spread over, see `bench.runtime.crew`; no part of the cell's
            identity.
        stall_limit: seconds without progress after which an engine ends a stage; None never does.
        own_process: each stage has a process to itself, whose memory is the stage's.
    """

    cell: Cell
    store: Store
    device: str
    workers: int = 1
    stall_limit: int | None = None
    own_process: bool = True

    @property
    def trained_base(self) -> Learned:
        return self.store.trained_base(self.cell.base_key)

    @property
    def fitted_refiner(self) -> Learned:
        return self.store.fitted_refiner(self.cell.fit_key)

    def maps_folder(self, split: Split) -> Path:
        return self.store.maps(self.cell.base_key, self.cell.prints[split])

    def source(self) -> DatasetSource:
        """The cell's dataset."""
        source: DatasetSource = self.cell.dataset.make()
        return source

    def samples(self, split: Split) -> Dataset:
        """The cell's samples of a split."""
        return Subset(self.source().split(split), self.cell.ids[split])

    def training_samples(self) -> tuple[Dataset, Dataset]:
        """What the base is trained on, and what its best epoch is chosen on."""
        return training_splits(self.samples("train"), self.samples("val"), self.cell.protocol)

    def base(self) -> BaseNetwork:
        """The cell's base, not fitted."""
        base: BaseNetwork = self.cell.base.make(device=self.device, seed=self.cell.seed)
        return base

    def fitted_base(self) -> BaseNetwork:
        """The cell's base, ready to predict."""
        base = self.base()
        if base.trainable:
            base.fit(*self.training_samples(), self.trained_base.folder)
        return base

    def asked_base(self) -> Callable[[Sequence[Image]], list[ProbabilityMap]]:
        """The base as a refiner may ask it: images of its own making -> their maps."""
        base = self.fitted_base()

        def predict(images: Sequence[Image]) -> list[ProbabilityMap]:
            asked = [Sample("asked", image, np.zeros(image.shape[:2], np.bool_)) for image in images]
            return taken(
                base.predict(asked), [sample.mask.shape for sample in asked], "maps that the refiner asked for"
            )

        return predict

    def check_fits(self) -> None:
        """Whether what is yet to be fitted can be.

        Raises:
            UserError: the base or the refiner says that it cannot, see `bench.contracts.Checked`.
        """
        if self.cell.base_trainable and self.trained_base.finished is None:
            base: BaseNetwork = self.cell.base.make(device="cpu", seed=self.cell.seed)
            if isinstance(base, Checked):
                with calling(self.cell.base.label):
                    base.check_fit()
        if self.cell.fit_key and self.fitted_refiner.finished is None:
            refiner: Refiner = self.cell.refiner.make(device="cpu", seed=self.cell.seed)
            if refiner.trainable and isinstance(refiner, Checked):
                with calling(self.cell.refiner.label):
                    refiner.check_fit()

    def metrics(self) -> dict[str, Metric]:
        """The plugged-in metrics that the cell is scored by, by column."""
        return plugged_in.made(self.cell.metrics)

    def refiner(self) -> Refiner:
        """The cell's refiner, fitted where it learns: from val, or from what an earlier call left."""
        refiner: Refiner = self.cell.refiner.make(device=self.device, seed=self.cell.seed)
        if isinstance(refiner, AsksBase):
            refiner.ask(self.asked_base())
        if refiner.trainable:
            refiner.fit(MapSplit(self.samples("val"), MapCache(self.maps_folder("val"))), self.fitted_refiner.folder)
        return refiner
