"""One cell: base maps -> refiner.fit if it needs it -> refine -> score -> store.

Each function here is one stage. Engines but ``inline`` run a stage in a process of its own, so that the memory it
measures is its own, and a crash costs one cell. All of them go on where an interrupted call stopped. Whoever runs one
has the lease on its task, which the job carries.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow.compute as pc

from bench.contracts import DECISION, AsksBase, Episodic, Split, UserError
from bench.execution import pictures
from bench.execution.cell import Cell
from bench.execution.job import Job
from bench.execution.measure import Meter
from bench.execution.refining import Refining
from bench.images import ALL_EMPTY, NOTHING_FOUND
from bench.metrics.columns import BASE, score
from bench.plugins import metrics as plugged_in
from bench.plugins.calls import arrays_of, calling, own
from bench.plugins.entry_points import Entry
from bench.plugins.outputs import taken
from bench.plugins.variants import Variant, digest
from bench.runtime import fork_server
from bench.runtime.allocating import give_back
from bench.runtime.crew import crew
from bench.runtime.environment import describe
from bench.runtime.progress import note, track
from bench.runtime.sealed import Log
from bench.store import FORKED, STARTED, Learned, Manifest, Training, cell_task, kept_task, maps_task
from bench.store.objects import answering

_TRUTH, _FOUND = "has_truth", "has_found"
"""Of a record while it is computed: whether the mask, and the refined map, has any foreground."""


Does = Literal["train", "val maps", "fit", "test maps", "refine", "put together", "pictures"]
"""What a stage does, in the order of a cell."""

OF_BASES: frozenset[Does] = frozenset({"train", "val maps", "test maps"})
"""The work of a base; all else is a refiner's."""

SPREAD: frozenset[Does] = frozenset({"refine", "pictures"})
"""What spreads its images over ``--workers`` processes."""

BY_IMAGE: frozenset[Does] = frozenset({"val maps", "test maps", *SPREAD})
"""What is done image by image."""

QUICK: frozenset[Does] = frozenset({"put together"})
"""What takes no time to speak of."""


@dataclass(frozen=True)
class Stage:
    """A step that an engine runs once those it ``needs`` are done.

    Attributes:
        name: unique; names the step in messages.
        task: what is leased; two runs that share a store have the same one for the same work.
        done: whether there is nothing left to do, here or by whoever had the lease before.
        cell: the manifest that this stage completes, for the last stage of a cell.
    """

    name: str
    function: Callable[[Job], None]
    job: Job
    task: str
    done: Callable[[Job], bool]
    needs: tuple[str, ...] = ()
    cell: Manifest | None = None

    @property
    def is_done(self) -> bool:
        return self.done(self.job)

    @property
    def does(self) -> Does:
        """What it does, in a word or two."""
        return _DOES[self.function]

    @property
    def workers(self) -> int:
        """How many processes it spreads its images over; 1 is its own."""
        return self.job.workers if self.does in SPREAD else 1

    @property
    def variants(self) -> list[Variant]:
        """The base, the refiner or both, as far as its function uses them."""
        cell = self.job.cell
        if self.does in OF_BASES:
            return [cell.base]
        asks = isinstance(cell.refiner.entry.factory, AsksBase)
        return [cell.refiner, *([cell.base] if asks else [])]

    @property
    def plugins(self) -> list[Entry]:
        """Those that its function uses."""
        cell = self.job.cell
        used = [cell.dataset, *self.variants, *([] if self.does in OF_BASES else cell.metrics.values())]
        return [entry for variant in used for entry in variant.entries]

    @property
    def whose(self) -> str:
        """The base or the refiner that it is the work of."""
        manifest = self.job.cell.manifest
        return manifest.base if self.does in OF_BASES else manifest.refiner


def stages(jobs: Sequence[Job], pictured: Sequence[Job] = ()) -> Iterator[Stage]:
    """The stages of the cells, each after those it needs; what several cells share comes once.

    Args:
        pictured: those whose pictures are to be made, finished before or one of ``jobs``; they come last, so that a run
            that is stopped has the numbers.
    """
    seen: set[str] = set()

    def new(found: Sequence[Stage]) -> Iterator[Stage]:
        for stage in found:
            if stage.name not in seen:
                seen.add(stage.name)
                yield stage

    for job in jobs:
        made = _Made(job)
        yield from new([*made.all, *_refining(job, made)])
    for job in pictured:
        made = _Made(job)
        yield from new(made.all)
        cells = [cell for cell in (job.cell.manifest, job.baseline) if cell is not None]
        needs = (*_names(made.all), *(name for name in dict.fromkeys(map(_label, cells)) if name in seen))
        name, task = f"pictures of {_label(job.cell.manifest)}", kept_task(job.cell.manifest)
        yield Stage(name, pictures.keep, job, task, pictures.are_kept, needs=needs)


def is_made(job: Job) -> bool:
    """Whether all is in the store that a cell is made from: its base, the maps, the fitted refiner."""
    return all(stage.is_done for stage in _Made(job).all)


class _Made:
    """The stages that make what a cell is refined from; many cells share them.

    Attributes:
        fit: train the base, its maps of val, fit the refiner; as far as there is something to learn.
        maps: the base's maps of test, by parts.
    """

    def __init__(self, job: Job) -> None:
        cell, manifest = job.cell, job.cell.manifest
        base = f"{manifest.base} on {manifest.dataset} [{cell.base_key[:8]}]"
        trained: list[Stage] = []
        if cell.base_trainable:
            trained = [Stage(f"train {base}", fit_base, job, job.trained_base.task, _base_is_trained)]
        self.fit = trained
        if cell.fit_key:
            maps = _predicting(job, "val", f"val maps of {base}", trained)
            name = f"fit {manifest.refiner} to {manifest.base} on {manifest.dataset} [{cell.fit_key[:8]}]"
            needs = _names([*trained, *maps])
            fit = Stage(name, fit_refiner, job, job.fitted_refiner.task, _refiner_is_fitted, needs=needs)
            self.fit = [*trained, *maps, fit]
        self.maps = _predicting(job, "test", f"test maps of {base}", trained)

    @property
    def all(self) -> list[Stage]:
        return [*self.fit, *self.maps]


def _predicting(job: Job, split: Split, name: str, needs: Sequence[Stage]) -> list[Stage]:
    function = predict_val if split == "val" else predict_test
    return [
        Stage(
            f"{name}{_which(one)}",
            function,
            one,
            maps_task(job.cell.base_key, job.cell.prints[split], one.part),
            partial(_are_predicted, split),
            needs=_names(needs),
        )
        for one in job.parts(split)
    ]


def _refining(job: Job, made: _Made) -> list[Stage]:
    """In one stage, or in one for each part and one that puts them together."""
    manifest, parts = job.cell.manifest, job.parts("test")
    label = _label(manifest)
    if len(parts) == 1:
        return [
            Stage(label, refine, job, cell_task(manifest), _cell_is_done, needs=_names(made.all), cell=manifest),
        ]
    found = [
        Stage(
            f"{label}{_which(one)}",
            refine_part,
            one,
            cell_task(manifest, one.part),
            _part_is_done,
            needs=(*_names(made.fit), maps.name),
        )
        for one, maps in zip(parts, made.maps, strict=True)
    ]
    # It reads no sample, so that it need not know of any.
    light = {name: contents for name, contents in job.cell.contents.items() if contents.digests is None}
    base, refiner = (job.cell.narrowed[kind].part(()) for kind in ("base", "refiner"))
    whole = replace(job, cell=replace(job.cell, base=base, refiner=refiner, contents=light, narrowed={}))
    needs = (*_names(made.all), *_names(found))
    return [*found, Stage(label, put_together, whole, cell_task(manifest), _cell_is_done, needs=needs, cell=manifest)]


def _which(job: Job) -> str:
    return "" if job.part is None else f", images {job.part[0] + 1} to {job.part[1]}"


def _names(found: Sequence[Stage]) -> tuple[str, ...]:
    return tuple(stage.name for stage in found)


def _label(cell: Manifest) -> str:
    return f"{cell.title} [{cell.key[:8]}]"


def _base_is_trained(job: Job) -> bool:
    return job.trained_base.find() is not None


def _refiner_is_fitted(job: Job) -> bool:
    return job.fitted_refiner.find() is not None


def _cell_is_done(job: Job) -> bool:
    return job.store.find(job.cell.manifest, job.least) is not None


def _part_is_done(job: Job) -> bool:
    assert job.part is not None
    # Who has put the cell together has removed its parts.
    return job.store.parts(job.cell.manifest, job.least).has(*job.part) or _cell_is_done(job)


def _are_predicted(split: Split, job: Job) -> bool:
    maps = job.maps(split)
    maps.check()
    told = not isinstance(job.source(), Episodic) or job.store.has_episodes(job.cell.base_key, job.cell.prints[split])
    return told and not maps.damaged and not maps.missing(job.cell.ids[split])


def fit_base(job: Job) -> None:
    """Train the base on train, tune it on val."""
    begin, work = time.perf_counter(), job.work
    with calling(job.cell.manifest.base):
        job.base().fit(*job.training_samples(), work)
    _check(partial(shutil.rmtree, work), job.cell.base.check_unchanged, partial(job.check_splits, "train", "val"))
    _keep(job, job.trained_base, work, time.perf_counter() - begin)


def predict_val(job: Job) -> None:
    """Base maps of the val split."""
    _predict(job, "val")


def predict_test(job: Job) -> None:
    """Base maps of the test split."""
    _predict(job, "test")


def fit_refiner(job: Job) -> None:
    """Fit the refiner on the val maps."""
    begin, work, manifest = time.perf_counter(), job.work, job.cell.manifest
    known = job.inner_fits(work)
    with calling(manifest.refiner):
        job.refiner(work)
    _check(partial(shutil.rmtree, work), job.check_refiner_files, partial(job.check_splits, "val"))
    seconds, identity = known + time.perf_counter() - begin, digest(job.cell.refiner.identity)
    told = {"refiner": manifest.refiner, "identity": identity, "ids": job.cell.ids["val"]}
    _keep(job, job.fitted_refiner, work, seconds, **told)
    kept = f"{job.store.address}/{job.fitted_refiner.name}"
    note(f"fitted: {manifest.refiner} to {manifest.base} on {manifest.dataset}, kept in {kept}")


def _keep(job: Job, training: Training, work: Path, seconds: float, **more: Any) -> None:
    assert job.lease is not None
    with answering(work):
        Learned(work).finish(seconds, generation=job.generation, **more)
    job.store.keep(training, work, job.lease)


def refine(job: Job) -> None:
    """Refine and score the test split, image by image, and store the finished cell."""
    assert job.lease is not None
    frame = _scored(job)
    seen = {name: bool(frame.get(name, pd.Series([True])).any()) for name in (_TRUTH, _FOUND)}
    job.store.add(_done(job, seen, _environment(job)), frame, job.lease)
    job.store.clear(job.lease)


def refine_part(job: Job) -> None:
    """Refine and score a part of the test split, image by image, and store its records."""
    assert job.lease is not None and job.part is not None
    about = {"environment": json.dumps(_environment(job))}
    job.store.add_part(job.cell.manifest, job.part, _scored(job), about, job.lease)
    job.store.clear(job.lease)


def put_together(job: Job) -> None:
    """Store the finished cell of which all parts are there."""
    assert job.lease is not None
    parts, cuts = job.store.parts(job.cell.manifest, job.least), job.cuts("test")
    told = [parts.read(*cut, columns=[_TRUTH, _FOUND]) for cut in cuts]
    seen = {name: any(pc.any(table[name]).as_py() for table, _ in told) for name in (_TRUTH, _FOUND)}
    environments = [json.loads(about["environment"]) for _, about in told]
    # Of a cell that several machines, or processes of several kinds, have computed, all of them.
    several = {
        name: "; ".join(dict.fromkeys(one[name] for one in environments if name in one))
        for name in ("device_name", "process")
        if name in environments[0]
    }
    manifest = _done(job, seen, environments[0] | several)
    job.store.add(manifest, (parts.read(*cut)[0] for cut in cuts), job.lease)
    parts.clear()


def _environment(job: Job) -> dict[str, Any]:
    """Of the process, or the ``--workers``, that refined the images."""
    forked = fork_server.is_forked and job.workers == 1  # which are all started afresh
    return describe(job.device) | ({"process": FORKED if forked else STARTED} if job.own_process else {})


def _scored(job: Job) -> pd.DataFrame:
    """The records of the job's images, in their order."""
    assert job.lease is not None
    ids = job.cell.scored
    with Log(job.work / _RECORDS) as log:
        records = {record["id"]: record for record in log.lines}
        rest = [sample_id for sample_id in ids if sample_id not in records]
        with crew(partial(_Scoring, job), min(job.workers, len(rest))) as each:
            for record in track(each(rest), job.cell.manifest.refiner, total=len(rest)):
                log.add(record)
                records[record["id"]] = record
    _check(partial(job.store.clear, job.lease), partial(job.check_splits, "test"))
    return pd.DataFrame([records[sample_id] for sample_id in ids])


_DOES: dict[Callable[[Job], None], Does] = {
    fit_base: "train",
    predict_val: "val maps",
    predict_test: "test maps",
    fit_refiner: "fit",
    refine: "refine",
    refine_part: "refine",
    put_together: "put together",
    pictures.keep: "pictures",
}

_RECORDS = "records.jsonl"
"""In a cell's folder of work: the records so far."""


class _Scoring:
    """Makes the record of a test image: refines it, measures that, and scores the result."""

    def __init__(self, job: Job) -> None:
        self.refine, self.metrics = Refining(job), job.metrics()

    def __call__(self, sample_id: str) -> dict[str, Any]:
        found = self.refine(sample_id)
        sample, refined = found.sample, found.refined
        seen = {_TRUTH: bool(sample.mask.any()), _FOUND: bool((refined >= DECISION).any())}
        record: dict[str, Any] = {"id": sample_id, **seen, **found.cost.columns()}
        record |= score(refined, sample.mask, ignore=sample.ignore)
        record |= plugged_in.values(self.metrics, refined, sample.mask, found.where, sample.ignore)
        found.check_unchanged()
        return record | {BASE + name: value for name, value in self.refine.cache.cost(sample_id).items()}


def _predict(job: Job, split: Split) -> None:
    """Predict the maps of a split that the cache lacks, one image a call, and measure each."""
    cache, samples = job.maps(split), job.samples(split)
    cache.check()
    cache.drop_damaged()
    missing = set(cache.missing(samples.ids))
    indices = [index for index, sample_id in enumerate(samples.ids) if sample_id in missing]
    _record_episodes(job, split)
    if not indices:
        return
    label, meter = f"{split} maps of {job.cell.manifest.base}", Meter(job.device, own_process=job.own_process)
    with job.reading_files(job.cell.base):
        with calling(label):
            base = job.fitted_base()
            base.predict([own(samples[indices[0]])])  # warm-up: weights are read now at the latest
        job.cell.base.check_unchanged()
        give_back()
        for index in track(indices, label):
            sample = samples[index]
            where = f"{label}: {sample.id}"
            with calling(where, *arrays_of(sample)):
                returned, cost = meter(partial(base.predict, [sample]))
            (probs,) = taken(returned, [sample.mask.shape], where)
            cache.add(sample.id, probs, cost.columns())
    # The maps of full shards are on the disk already.
    _check(cache.discard, partial(job.check_splits, split))
    cache.flush()


def _check(remove: Callable[[], object], *checks: Callable[[], None]) -> None:
    """Before what was computed is kept: whether it is of what was planned. Raises UserError, once it is removed."""
    try:
        for check in checks:
            check()
    except UserError:
        remove()
        raise


def _record_episodes(job: Job, split: Split) -> None:
    """Which labelled samples each query was answered from, with a hash, beside the maps."""
    source = job.source()
    if isinstance(source, Episodic):
        episodes = source.episodes(split)
        found = {"hash": digest({"episodes": episodes}), "episodes": episodes}
        job.store.write_episodes(job.cell.base_key, job.cell.prints[split], found)


def _done(job: Job, seen: Mapping[str, bool], environment: dict[str, Any]) -> Manifest:
    fitting = job.fitted_refiner.find() if job.cell.fit_key else None
    finished = fitting.finished if fitting is not None else None
    return job.cell.manifest.model_copy(
        update={
            "status": "done",
            "generation": job.generation,
            "remarks": [*_left_out(job.cell), *_remarks(seen)],
            "fit_seconds": finished["seconds"] if finished is not None else None,
            "tuned": (fitting.tuned if fitting is not None else None) or {},
            "tuned_inside": _tuned_inside(job.cell.refiner, fitting.folder) if fitting is not None else {},
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "environment": environment | ({"workers": job.workers} if job.workers > 1 else {}),
        }
    )


def _tuned_inside(variant: Variant, folder: Path) -> dict[str, dict[str, Any]]:
    """What was found for the refiners in one that are tuned, by what they are called."""
    found: dict[str, dict[str, Any]] = {}
    for place, (called, one) in variant.inside.items():
        tuned = Learned(folder / place).tuned
        within = _tuned_inside(one, folder / place / ("" if tuned is None else "refiner"))
        found |= ({} if tuned is None else {called: tuned}) | {f"{called}: {key}": of for key, of in within.items()}
    return found


def _left_out(cell: Cell) -> list[str]:
    """Of a refiner that has maps of some test images only: how many it has none of, and the first ten of these."""
    there = set(cell.scored)
    gone = [sample_id for sample_id in cell.ids["test"] if sample_id not in there]
    if not gone:
        return []
    more = f" and {len(gone) - 10} more" if len(gone) > 10 else ""
    of = f"{len(gone)} of {len(cell.ids['test'])} images"
    return [f"{of} have no refined map, and this row and its gains leave them out: {', '.join(gone[:10])}{more}"]


def _remarks(seen: Mapping[str, bool]) -> list[str]:
    """What makes the numbers mean little, though each of them is right."""
    found = []
    if not seen[_TRUTH]:
        found.append(ALL_EMPTY)
    if not seen[_FOUND]:
        found.append(NOTHING_FOUND)
    return found
