"""The last stage of a cell, where ``--keep-maps`` asks for it: the pictures of chosen images.

The cell is finished before, and none of its numbers changes: the chosen images are refined once more, as they were when
they were scored, and each refined map is held against the IoU that was recorded. So a cell that was finished without
pictures gets them in the same way. The list of the pictures grows as they are made: a run that is killed goes on with
those that it lacks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd

from bench.contracts import UserError
from bench.execution.choosing import chosen
from bench.execution.job import Job
from bench.execution.refining import Refining
from bench.images import webp
from bench.metrics import score
from bench.runtime.crew import crew
from bench.runtime.progress import note, track
from bench.store import KeptImage, Manifest
from bench.store.kept import ALL, RULES

OFTEN = 10.0
"""Seconds between two times that the list is written: so much work is lost with a process that is killed."""

_TOLERANCE = 1e-4
"""Of an IoU: what no table shows."""


@dataclass(frozen=True)
class _Wanted:
    """What a finished cell is to have.

    Attributes:
        cell: as it is stored.
        records: its records, by id.
        chosen: id -> why.
        kept: the images that have all of their pictures in the store.
    """

    cell: Manifest
    records: pd.DataFrame
    chosen: dict[str, tuple[str, ...]]
    kept: dict[str, KeptImage]

    @classmethod
    def of(cls, job: Job) -> _Wanted:
        cell = job.store.find(job.cell.manifest, job.least)
        if cell is None:
            raise UserError("the cell is gone that was finished", job.cell.manifest.title, "run the same command again")
        records = job.store.records(cell).set_index("id")
        gains = None
        if job.baseline is not None and job.baseline.key != cell.key:
            base = job.store.records(job.baseline).set_index("id").iou
            gains = (records.iou - base.reindex(records.index)).to_numpy()
        kept = job.store.kept(cell.key)
        there = job.store.pictures() if kept else set()
        whole = {image.id: image for image in kept if there.issuperset(image.pictures)}
        return cls(cell, records, chosen(job.keep_maps, list(records.index), gains), whole)

    def why(self, sample_id: str) -> tuple[str, ...]:
        """What speaks for an image, now or when it was kept before."""
        before = self.kept[sample_id].why if sample_id in self.kept else ()
        both = {*before, *self.chosen.get(sample_id, ())}
        return (ALL,) if ALL in both else tuple(rule for rule in RULES if rule in both)

    @property
    def is_there(self) -> bool:
        return all(
            sample_id in self.kept and self.kept[sample_id].why == self.why(sample_id) for sample_id in self.chosen
        )


def are_kept(job: Job) -> bool:
    """Whether a cell that is finished has the pictures that it is to have."""
    return _Wanted.of(job).is_there


def keep(job: Job) -> None:
    """Make the pictures that a finished cell lacks, and say in its list which images have some."""
    wanted = _Wanted.of(job)
    images = dict(wanted.kept)

    def write(found: dict[str, KeptImage]) -> None:
        listed = [replace(found[one], why=wanted.why(one)) for one in wanted.records.index if one in found]
        job.store.keep_images(wanted.cell, listed, job.lease)

    comparison, written = _Comparison(wanted), time.monotonic()
    for image, iou in _made(job, [one for one in wanted.chosen if one not in images]):
        comparison.add(image.id, iou)
        images[image.id] = image
        if time.monotonic() - written > OFTEN:
            write(images)
            written = time.monotonic()
    try:
        job.check_splits("test")
    except UserError:
        write(wanted.kept)
        raise
    write(images)
    comparison.end()


def _made(job: Job, ids: Sequence[str]) -> Iterator[tuple[KeptImage, float]]:
    """Of each image its pictures, and the IoU of its refined map."""
    if ids:
        with crew(partial(_Picturing, job), min(job.workers, len(ids))) as each:
            yield from track(each(ids), f"pictures of {job.cell.manifest.refiner}", total=len(ids))


class _Picturing:
    """Puts the pictures of a test image into the store."""

    def __init__(self, job: Job) -> None:
        self.store, self.refine = job.store, Refining(job)

    def __call__(self, sample_id: str) -> tuple[KeptImage, float]:
        found = self.refine(sample_id)
        sample = found.sample
        pictures = {
            "image": webp.image_bytes(sample.image),
            "truth": webp.truth_bytes(sample.mask, sample.ignore),
            "base": webp.map_bytes(found.probs),
            "refined": webp.map_bytes(found.refined),
        }
        iou = score(found.refined, sample.mask, ignore=sample.ignore)["iou"]
        found.check_unchanged()
        names = {kind: self.store.add_picture(content) for kind, content in pictures.items()}
        return KeptImage(sample_id, why=(), **names), float(iou)


class _Comparison:
    """Warns where refined maps are not those that were scored: at once of the first, in the end of their number."""

    def __init__(self, wanted: _Wanted) -> None:
        self.title, self.recorded = wanted.cell.title, wanted.records.iou
        self.images, self.others = 0, 0

    def add(self, sample_id: str, iou: float) -> None:
        self.images += 1
        recorded = self.recorded[sample_id]
        if not abs(iou - recorded) <= _TOLERANCE:
            self.others += 1
            if self.others == 1:
                said = f"{sample_id} has an IoU of {iou:.4f} now, recorded is {recorded:.4f}"
                note(f"warning: {self.title}: {said}: the numbers stay, its picture shows another map than was scored")

    def end(self) -> None:
        if self.others > 1:
            said = f"{self.others} of {self.images} pictures show other maps than were scored"
            note(f"warning: {self.title}: {said}, as the refiner gave others this time")
