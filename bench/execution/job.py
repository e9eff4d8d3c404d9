"""A cell and where to work on it: its files in the store, its samples, its base, its refiner."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from bench.contracts import (
    AsksBase,
    BaseNetwork,
    Checked,
    ChecksFiles,
    Dataset,
    DatasetSource,
    Image,
    Metric,
    ProbabilityMap,
    Refiner,
    Sample,
    Split,
    UserError,
)
from bench.datasets.planned import Planned, check_fingerprint, reading_of
from bench.datasets.subset import Subset
from bench.execution.cell import Cell
from bench.execution.maps import MapSplit
from bench.execution.plan import training_splits
from bench.images import expecting
from bench.plugins import metrics as plugged_in
from bench.plugins.calls import calling
from bench.plugins.outputs import taken
from bench.plugins.variants import Variant
from bench.runtime.reading import changed
from bench.store import Lease, Manifest, MapCache, Store, Training


@dataclass(frozen=True)
class Job:
    """A cell and where to work on it; everything a stage needs, and picklable.

    Attributes:
        device: ``"cpu"`` or ``"cuda"``; ``"auto"`` until an engine knows the machine that a stage runs on.
        workers: processes that the test images are spread over, see `bench.runtime.crew`; no part of the cell's
            identity.
        stall_limit: seconds without progress after which an engine ends a stage; None never does.
        shard: images of a split that one stage works on.
        part: numbers of the first image of a split that this stage works on, and of the one after its last; None for
            all. The cell has these images alone then.
        split: the one that the part is of.
        own_process: each stage has a process to itself, whose memory is the stage's.
        generation: of the run, see `bench.store.Manifest`.
        force: what is there of an earlier generation does not count.
        keep_maps: whose pictures are kept, see `bench.config.Grid`; no part of the cell's identity.
        baseline: the cell that its gains are over; None where there is none.
        lease: on the work of the stage that is run.
    """

    cell: Cell
    store: Store
    device: str
    workers: int = 1
    stall_limit: int | None = None
    shard: int = 1000
    part: tuple[int, int] | None = None
    split: Split = "test"
    own_process: bool = True
    generation: int = 1
    force: bool = False
    keep_maps: str = "0"
    baseline: Manifest | None = None
    lease: Lease | None = None

    @property
    def least(self) -> int:
        """The generation of a cell or fit that need not be computed."""
        return self.generation if self.force else 0

    @property
    def trained_base(self) -> Training:
        return self.store.trained_base(self.cell.base_key)

    @property
    def fitted_refiner(self) -> Training:
        return self.store.fitted_refiner(self.cell.fit_key, self.least)

    def maps(self, split: Split) -> MapCache:
        """The base's maps of a split, as far as they are there."""
        start = self.part[0] if self.part is not None and self.split == split else 0
        return self.store.maps(self.cell.base_key, self.cell.prints[split], self.cell.ids[split], start)

    def parts(self, split: Split) -> list[Job]:
        """This job for each part of a split; itself where that is small enough for one stage."""
        cuts = self.cuts(split)
        return [self._of_part(split, *cut) for cut in cuts] if len(cuts) > 1 else [self]

    def cuts(self, split: Split) -> list[tuple[int, int]]:
        """Of each part of a split, the numbers of its first image and of the one after its last."""
        count = len(self.cell.ids[split])
        return [(start, min(start + self.shard, count)) for start in range(0, count, self.shard)]

    def _of_part(self, split: Split, start: int, stop: int) -> Job:
        cell = self.cell
        ids = cell.ids[split][start:stop]
        contents = {name: of.part(ids, start) if name == split else of for name, of in cell.contents.items()}
        scored = cell.scored
        if split == "test":
            scored = ids if scored == cell.ids[split] else tuple(one for one in ids if one in self._all_scored)
        cut = replace(
            cell,
            base=cell.narrowed["base"].part(ids, split, start),
            refiner=cell.narrowed["refiner"].part(ids, split, start),
            ids={**cell.ids, split: ids},
            contents=contents,
            scored=scored,
            narrowed={},
        )
        return replace(self, cell=cut, part=(start, stop), split=split)

    @property
    def work(self) -> Path:
        """The folder for what is under way; only with a lease."""
        assert self.lease is not None
        return self.store.workspace(self.lease, afresh=self.force)

    @cached_property
    def _all_scored(self) -> frozenset[str]:
        return frozenset(self.cell.scored)

    def source(self) -> DatasetSource:
        """The cell's dataset."""
        source: DatasetSource = self.cell.dataset.make()
        return source

    def samples(self, split: Split) -> Dataset:
        """The cell's samples of a split.

        Raises:
            UserError: it, or what its files are taken for, is not what it was when the run was planned; so does
                reading a sample.
        """
        ids, contents = self.cell.ids[split], self.cell.contents.get(split)
        if contents is not None and contents.pairs is not None:
            return Planned(contents.pairs, ids, contents)
        source = self.source()
        if not ids or contents is None:
            return Subset(source.split(split), ids)
        if (reading := reading_of(source)) != self.cell.reading:
            said = f"was read as {self.cell.reading} when the run was planned, and is as {reading} now"
            raise changed(self.cell.dataset.label, said)
        return Planned(source.split(split), ids, contents)

    def check_splits(self, *splits: Split) -> None:
        """Once a stage has read splits, and before it keeps what came of that.

        Raises:
            UserError: one that is not checked as it is read is not what it was when the run was planned.
        """
        for split in splits:
            contents = self.cell.contents.get(split)
            if contents is not None and contents.digests is None:
                check_fingerprint(self.source().split(split), contents)

    def check_refiner_files(self) -> None:
        """Once the refiner has read its files, and before what it makes is kept.

        Raises:
            UserError: they, or those of a base that it asks, are not what they were when the run was planned.
        """
        self.cell.refiner.check_unchanged()
        if isinstance(self.cell.refiner.entry.factory, AsksBase):
            self.cell.base.check_unchanged()

    @contextmanager
    def reading_files(self, variant: Variant) -> Iterator[None]:
        """While the block runs, images and maps that a base or refiner reads of its own have to be what they were."""
        with ExitStack() as stack:
            for path, digests in variant.files.items():
                stack.enter_context(expecting(digests, path))
            yield

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
            base.fit(*self.training_samples(), _folder(self.trained_base))
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
        """Whether what is yet to be fitted can be, and whether the refiner's files are what it takes.

        Raises:
            UserError: the base or the refiner says that it cannot, see `bench.contracts.Checked`; or the refiner says
                that they are not, see `bench.contracts.ChecksFiles`.
        """
        if self.cell.base_trainable and self.trained_base.find() is None:
            base: BaseNetwork = self.cell.base.make(device="cpu", seed=self.cell.seed)
            if isinstance(base, Checked):
                with calling(self.cell.base.label):
                    base.check_fit()
        if self.cell.fit_key and self.fitted_refiner.find() is None:
            refiner: Refiner = self.cell.refiner.make(device="cpu", seed=self.cell.seed)
            if refiner.trainable and isinstance(refiner, Checked):
                with calling(self.cell.refiner.label):
                    refiner.check_fit()
        if isinstance(self.cell.refiner.entry.factory, ChecksFiles):
            with calling(self.cell.refiner.label):
                self.cell.refiner.make(
                    device="cpu" if self.device == "auto" else self.device, seed=self.cell.seed
                ).check_files()

    def inner_fits(self, work: Path) -> float:
        """Give a refiner that is made of others what these have learned in their own cells, of the same val and seed.

        Args:
            work: where it is going to be fitted.

        Returns:
            seconds that those fits took.
        """
        for others in self.cell.inner_fits:
            there = {place: self.store.fitted_refiner(key, self.least).find() for place, key in others.items()}
            if found := {place: one for place, one in there.items() if one is not None}:
                return sum(one.copy(work / place) for place, one in found.items())
        return 0.0

    def metrics(self) -> dict[str, Metric]:
        """The plugged-in metrics that the cell is scored by, by column."""
        return plugged_in.made(self.cell.metrics)

    def refiner(self, workdir: Path | None = None) -> Refiner:
        """The cell's refiner, fitted where it learns.

        Args:
            workdir: where it is to learn from val, or go on; None where it has learned.
        """
        refiner: Refiner = self.cell.refiner.make(device=self.device, seed=self.cell.seed)
        if isinstance(refiner, AsksBase):
            refiner.ask(self.asked_base())
        if refiner.trainable:
            refiner.fit(MapSplit(self.samples("val"), self.maps("val")), workdir or _folder(self.fitted_refiner))
        return refiner


def _folder(training: Training) -> Path:
    found = training.find()
    if found is None:
        # It was there when this stage began to wait for it.
        raise UserError("what was learned is gone or damaged", training.name, "run the same command again")
    return found.folder
