"""One cell: base maps -> refiner.fit if it needs it -> refine -> score -> store.

Each function here is one stage. Engines but ``inline`` run a stage in a process of its own, so that the memory it
measures is its own, and a crash costs one cell. All of them go on where an interrupted call stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pandas as pd

from bench.contracts import DECISION, Episodic, Oracle, ProbabilityMap, Refiner, Sample, Split, read_only
from bench.execution.job import Job
from bench.execution.maps import MapCache
from bench.execution.measure import Meter
from bench.images import ALL_EMPTY, NOTHING_FOUND
from bench.metrics.columns import BASE, score
from bench.plugins import metrics as plugged_in
from bench.plugins.calls import arrays_of, calling, own
from bench.plugins.outputs import taken, unchanged
from bench.plugins.variants import digest
from bench.runtime.crew import crew
from bench.runtime.environment import describe
from bench.runtime.files import read_lines
from bench.runtime.progress import note, track
from bench.store import Manifest

_TRUTH, _FOUND = "has_truth", "has_found"
"""Of a record while it is computed: whether the mask, and the refined map, has any foreground."""


@dataclass(frozen=True)
class Stage:
    """A step that an engine runs once those it ``needs`` are done.

    Attributes:
        name: unique; names the step in messages.
        cell: the manifest that this stage completes, for the last stage of a cell.
    """

    name: str
    function: Callable[[Job], None]
    job: Job
    needs: tuple[str, ...] = ()
    cell: Manifest | None = None


def stages(jobs: Sequence[Job]) -> Iterator[Stage]:
    """The stages of the cells, each after those it needs; what several cells share comes once."""
    seen: set[str] = set()
    for job in jobs:
        cell, manifest = job.cell, job.cell.manifest
        base = f"{manifest.base} on {manifest.dataset} [{cell.base_key[:8]}]"
        chain = []
        if cell.base_trainable:
            chain.append((f"train {base}", fit_base))
        if cell.fit_key:
            chain.append((f"val maps of {base}", predict_val))
            fitted = f"fit {manifest.refiner} to {manifest.base} on {manifest.dataset} [{cell.fit_key[:8]}]"
            chain.append((fitted, fit_refiner))
        chain.append((f"test maps of {base}", predict_test))
        names = tuple(name for name, _ in chain)
        for index, (name, function) in enumerate(chain):
            if name not in seen:
                seen.add(name)
                yield Stage(name, function, job, needs=names[:index])
        label = f"{manifest.dataset} > {manifest.base} > {manifest.refiner} (seed {cell.seed}) [{manifest.key[:8]}]"
        yield Stage(label, refine, job, needs=names, cell=manifest)


def fit_base(job: Job) -> None:
    """Train the base on train, tune it on val."""
    training = job.trained_base
    if training.finished is None:
        begin = time.perf_counter()
        with calling(job.cell.manifest.base):
            job.base().fit(*job.training_samples(), training.folder)
        training.finish(time.perf_counter() - begin)


def predict_val(job: Job) -> None:
    """Base maps of the val split."""
    _predict(job, "val")


def predict_test(job: Job) -> None:
    """Base maps of the test split."""
    _predict(job, "test")


def fit_refiner(job: Job) -> None:
    """Fit the refiner on the val maps."""
    fitting = job.fitted_refiner
    if fitting.finished is None:
        begin = time.perf_counter()
        manifest = job.cell.manifest
        with calling(manifest.refiner):
            job.refiner()
        fitting.finish(
            time.perf_counter() - begin, refiner=manifest.refiner, identity=digest(job.cell.refiner.identity)
        )
        note(f"fitted: {manifest.refiner} to {manifest.base} on {manifest.dataset}, kept in {fitting.folder}")


def refine(job: Job) -> None:
    """Refine and score the test split, image by image, and store the finished cell."""
    ids = job.samples("test").ids
    partial_records = job.store.partial(job.cell.manifest)
    records = {record["id"]: record for record in read_lines(partial_records)}
    partial_records.parent.mkdir(parents=True, exist_ok=True)
    rest = [sample_id for sample_id in ids if sample_id not in records]
    with (
        partial_records.open("a", encoding="utf-8") as stream,
        crew(partial(_Scoring, job), min(job.workers, len(rest))) as each,
    ):
        for record in track(each(rest), job.cell.manifest.refiner, total=len(rest)):
            stream.write(json.dumps(record) + "\n")
            stream.flush()
            records[record["id"]] = record
    frame = pd.DataFrame([records[sample_id] for sample_id in ids])
    job.store.write(_done(job, frame), frame)


class _Scoring:
    """Makes the record of a test image: refines it, measures that, and scores the result."""

    def __init__(self, job: Job) -> None:
        self.label, self.test = job.cell.manifest.refiner, job.samples("test")
        self.places = {sample_id: index for index, sample_id in enumerate(self.test.ids)}
        self.cache, self.metrics = MapCache(job.maps_folder("test")), job.metrics()
        with calling(self.label):
            self.refiner = job.refiner()
        self.meter, self.warm = Meter(job.device, alone=job.workers == 1, own_process=job.own_process), False

    def __call__(self, sample_id: str) -> dict[str, Any]:
        sample, probs = self.test[self.places[sample_id]], self.cache[sample_id]
        where = f"{self.label}: {sample_id}"
        if not self.warm:
            with calling(where):
                # First calls allocate and compile. What this one does to its arrays is not measured with the next.
                _refining(self.refiner, own(sample), read_only(probs.copy()))()
            self.warm = True
        with calling(where, sample.image, sample.mask, probs):
            returned, cost = self.meter(_refining(self.refiner, sample, probs))
        (refined,) = taken(returned, [probs.shape], where)
        seen = {_TRUTH: bool(sample.mask.any()), _FOUND: bool((refined >= DECISION).any())}
        record = {"id": sample_id, **seen, **score(refined, sample.mask, ignore=sample.ignore), **cost.columns()}
        record |= plugged_in.values(self.metrics, refined, sample.mask, where, sample.ignore)
        unchanged(returned, [refined], where)
        return record | {BASE + name: value for name, value in self.cache.cost(sample_id).items()}


def forget(job: Job) -> None:
    """Remove what ``--force`` redoes: the cell, its half-written records and its fitted refiner. Base maps stay."""
    job.store.remove(job.cell.manifest)
    if job.cell.fit_key:
        job.fitted_refiner.remove()


def _predict(job: Job, split: Split) -> None:
    """Predict the maps of a split that the cache lacks, one image a call, and measure each."""
    cache, samples = MapCache(job.maps_folder(split)), job.samples(split)
    missing = set(cache.missing(samples.ids))
    indices = [index for index, sample_id in enumerate(samples.ids) if sample_id in missing]
    if not indices:
        return
    _record_episodes(job, split)
    label, meter = f"{split} maps of {job.cell.manifest.base}", Meter(job.device, own_process=job.own_process)
    with calling(label):
        base = job.fitted_base()
        base.predict([own(samples[indices[0]])])  # warm-up
    for index in track(indices, label):
        sample = samples[index]
        where = f"{label}: {sample.id}"
        with calling(where, *arrays_of(sample)):
            returned, cost = meter(partial(base.predict, [sample]))
        (probs,) = taken(returned, [sample.mask.shape], where)
        cache.add(sample.id, probs, cost.columns())
    cache.flush()


def _record_episodes(job: Job, split: Split) -> None:
    """Which labelled samples each query was answered from, with a hash, beside the maps."""
    source = job.source()
    if isinstance(source, Episodic):
        episodes = source.episodes(split)
        found = {"hash": digest({"episodes": episodes}), "episodes": episodes}
        job.store.write_episodes(job.maps_folder(split), found)


def _done(job: Job, frame: pd.DataFrame) -> Manifest:
    fitting = job.fitted_refiner if job.cell.fit_key else None
    finished = fitting.finished if fitting is not None else None
    return job.cell.manifest.model_copy(
        update={
            "status": "done",
            "images": len(frame),
            "remarks": _remarks(frame),
            "fit_seconds": finished["seconds"] if finished is not None else None,
            "tuned": (fitting.tuned if fitting is not None else None) or {},
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "environment": describe(job.device) | ({"workers": job.workers} if job.workers > 1 else {}),
        }
    )


def _remarks(frame: pd.DataFrame) -> list[str]:
    """What makes the numbers mean little, though each of them is right."""
    found = []
    if not frame.get(_TRUTH, pd.Series([True])).any():
        found.append(ALL_EMPTY)
    if not frame.get(_FOUND, pd.Series([True])).any():
        found.append(NOTHING_FOUND)
    return found


def _refining(refiner: Refiner, sample: Sample, probs: ProbabilityMap) -> Callable[[], list[ProbabilityMap]]:
    if isinstance(refiner, Oracle):
        return partial(refiner.refine_knowing, [sample.image], [probs], [sample.mask])
    return partial(refiner.refine, [sample.image], [probs])
