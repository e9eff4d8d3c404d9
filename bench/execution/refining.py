"""A cell's refiner at work on single test images, each measured by itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench.contracts import GoesByName, Oracle, ProbabilityMap, Refiner, Sample, read_only
from bench.execution.job import Job
from bench.execution.measure import Cost, Meter
from bench.plugins.calls import calling, own
from bench.plugins.outputs import taken, unchanged
from bench.runtime.allocating import give_back


@dataclass(frozen=True)
class Refined:
    """A test image that was refined.

    Attributes:
        sample, probs: the image with its truth, and the base's map.
        refined: a copy of what the refiner returned.
        cost: of the refiner's call.
        where: whose it is, for errors.
    """

    sample: Sample
    probs: ProbabilityMap
    refined: ProbabilityMap
    cost: Cost
    where: str
    returned: Any

    def check_unchanged(self) -> None:
        """Raise UserError where the refiner has changed its map since; to be called once all is made of it."""
        unchanged(self.returned, [self.refined], self.where)


class Refining:
    """Refines test images by their ids, batch 1, after a warm-up call that counts for nothing.

    Attributes:
        cache: the base's maps.
    """

    def __init__(self, job: Job) -> None:
        self.job, self.label, self.test = job, job.cell.manifest.refiner, job.samples("test")
        self.places = {sample_id: index for index, sample_id in enumerate(self.test.ids)}
        self.cache = job.maps("test")
        with calling(self.label):
            self.refiner = job.refiner()
        self.meter, self.warm = Meter(job.device, alone=job.workers == 1, own_process=job.own_process), False

    def __call__(self, sample_id: str) -> Refined:
        sample, probs = self.test[self.places[sample_id]], self.cache[sample_id]
        where = f"{self.label}: {sample_id}"
        if not self.warm:
            with calling(where), self.job.reading_files(self.job.cell.refiner):
                # First calls allocate and compile. What this one does to its arrays is not measured with the next.
                _refining(self.refiner, own(sample), read_only(probs.copy()))()
            self.job.check_refiner_files()  # weights are read now at the latest
            give_back()
            self.warm = True
        with calling(where, sample.image, sample.mask, probs), self.job.reading_files(self.job.cell.refiner):
            returned, cost = self.meter(_refining(self.refiner, sample, probs))
        if isinstance(self.refiner, GoesByName):
            cost = Cost(seconds=math.nan)  # that of reading a file would be none of the map's
        (refined,) = taken(returned, [probs.shape], where)
        return Refined(sample, probs, refined, cost, where, returned)


def _refining(refiner: Refiner, sample: Sample, probs: ProbabilityMap) -> Callable[[], list[ProbabilityMap]]:
    if isinstance(refiner, Oracle):
        return partial(refiner.refine_knowing, [sample.image], [probs], [sample.mask])
    if isinstance(refiner, GoesByName):
        return partial(refiner.refine_named, [sample.id], [sample.image], [probs])
    return partial(refiner.refine, [sample.image], [probs])
