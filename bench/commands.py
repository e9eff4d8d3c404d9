"""What the commands do, as functions: `run` a grid, `score` a folder of maps, `predict` a base's maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from bench import engines, runner
from bench.config import Kind, Settings, load
from bench.contracts import SPLITS, Split, UserError
from bench.datasets.subset import Subset
from bench.environment import pick_device
from bench.images import IMAGE_SUFFIXES, MAP_SUFFIXES, read_map, read_mask, write_map
from bench.metrics import iou_dataset
from bench.metrics import score as score_map
from bench.plan import Cell, grid, narrowed, whole_splits
from bench.progress import note, track
from bench.registry import load_base, load_dataset, resolve
from bench.store import Manifest, Store

SCORE_COLUMNS = (
    "id",
    "iou",
    "iou_dataset",
    "boundary_iou",
    "boundary_iou_2pct",
    "boundary_accuracy",
    "mae",
    "seconds",
    "peak_gpu_mb",
    "peak_gpu_nvml_mb",
    "peak_rss_mb",
    "energy_j",
)
"""Columns of ``bench score --out``. Those that one image's map cannot tell (its cost, a split's IoU) stay empty."""


@dataclass
class RunResult:
    """What a run did.

    Attributes:
        cells: all cells of the grid, in order.
        reused: keys of those that the store already held.
        failures: key -> one line, for the cells that failed.
    """

    store: Store
    cells: list[Cell]
    reused: set[str]
    failures: dict[str, str] = field(default_factory=dict)


class CellError(Exception):
    """A cell failed through a defect, not through anything the user can fix. Carries the stage's traceback."""


def run(
    *,
    experiment: str | None = None,
    dataset: Sequence[str] | None = None,
    base: Sequence[str] | None = None,
    refiner: Sequence[str] | None = None,
    seed: Sequence[int] | None = None,
    store: Path | str | None = None,
    device: Literal["auto", "cpu", "cuda"] | None = None,
    engine: Literal["local", "ray"] | None = None,
    limit: int | None = None,
    on_error: Literal["fail", "skip"] | None = None,
    force: bool = False,
    config: Path | None = None,
) -> RunResult:
    """Compute the cells of a grid that the store does not hold yet.

    What is None comes from the experiment, else from ``[defaults]`` of bench.toml. The baseline refiner is always
    part of the grid. ``force`` computes the grid's cells anew, but keeps the bases' checkpoints and maps.

    Args:
        limit: use only the first so many samples of each split.
        on_error: ``fail`` stops at the first failed cell, ``skip`` records it and goes on.

    Raises:
        UserError: something the user can fix.
        CellError: a defect, with ``on_error="fail"``.
    """
    settings = load(config)
    chosen = settings.experiment(experiment) if experiment else None

    def pick(name: str, given: Any) -> Any:
        """Command line, else experiment, else defaults."""
        from_experiment = getattr(chosen, name, None)
        if given is not None:
            return given
        return from_experiment if from_experiment is not None else getattr(settings.defaults, name, None)

    where = pick_device(pick("device", device))
    target = Store(Path(pick("store", store)).absolute())
    refiners = list(pick("refiner", refiner))
    baseline = settings.defaults.baseline
    cells = grid(
        settings,
        datasets=pick("dataset", dataset),
        bases=pick("base", base),
        refiners=refiners if baseline in refiners else [baseline, *refiners],
        seeds=pick("seed", seed),
        limit=pick("limit", limit),
        skip_errors=pick("on_error", on_error) == "skip",
    )
    for text in dict.fromkeys(f"{c.manifest.dataset}: {c.manifest.complete}" for c in cells if c.manifest.complete):
        note(f"warning: a partial copy of {text}")
    target.open_for_writing()
    jobs = [runner.Job(cell, settings, target.root, where) for cell in cells]
    if force:
        for job in jobs:
            if job.cell.refiner in refiners:
                runner.forget(job)
    result = RunResult(target, cells, {cell.manifest.key for cell in cells if target.is_done(cell.manifest)})
    pending = [job for job in jobs if job.cell.manifest.key not in result.reused]
    _say_what_is_reused(len(cells), len(pending))
    for job in pending:
        target.write(job.cell.manifest)
        if job.cell.error:
            _record_failure(result, job.cell.manifest, job.cell.error, said=True)
    pending = [job for job in pending if not job.cell.error]
    _execute(pending, result, engine=pick("engine", engine), on_error=pick("on_error", on_error))
    return result


def in_experiment(settings: Settings, name: str) -> Callable[[Manifest], bool]:
    """Whether a stored cell belongs to the experiment. Raises UserError where there is no such experiment."""
    experiment, defaults = settings.experiment(name), settings.defaults

    def labels(kind: Kind, more: Sequence[str] = ()) -> set[str]:
        specs = getattr(experiment, kind) or getattr(defaults, kind)
        return {resolve(kind, spec, settings, where=f"experiments.{name}.{kind}").label for spec in [*specs, *more]}

    datasets, bases, refiners = labels("dataset"), labels("base"), labels("refiner", [defaults.baseline])
    seeds = set(experiment.seed or defaults.seed)

    def belongs(cell: Manifest) -> bool:
        named = cell.dataset in datasets and cell.base in bases and cell.refiner in refiners
        return named and cell.seed in seeds and cell.limit == experiment.limit

    return belongs


def score(masks: Path, maps: Path) -> pd.DataFrame:
    """Score a folder of probability maps against a folder of masks, matched by file name without its suffix.

    Args:
        masks: images of the ground truth; subfolders count as part of the id.
        maps: 8/16-bit PNG or NPY maps, each of its mask's size. Masks without a map are left out.

    Returns:
        One row an image with `SCORE_COLUMNS` but ``iou_dataset``, and ``intersection`` and ``union``.

    Raises:
        UserError: a folder is missing or empty, a map has no mask, is of another size or not a map.
    """
    mask_files, map_files = _by_id(masks, IMAGE_SUFFIXES, "--masks"), _by_id(maps, MAP_SUFFIXES, "--maps")
    strangers = sorted(map_files.keys() - mask_files.keys())
    if strangers:
        raise UserError(
            f"{len(strangers)} maps have no mask, e.g. {strangers[0]}", maps, "give both the same file names"
        )
    if len(map_files) < len(mask_files):
        note(f"{len(map_files)} of {len(mask_files)} masks have a map; the others are left out")
    rows = []
    for sample_id in track(sorted(map_files), "score"):
        mask, probs = read_mask(mask_files[sample_id]), read_map(map_files[sample_id])
        if probs.shape != mask.shape:
            raise UserError(
                f"the map is {probs.shape} and its mask {mask.shape}",
                map_files[sample_id],
                "resize the map to the mask",
            )
        rows.append({"id": sample_id, **score_map(probs, mask)})
    return pd.DataFrame(rows).reindex(columns=[*SCORE_COLUMNS, "intersection", "union"])


def means(scores: pd.DataFrame) -> dict[str, float]:
    """Mean over the images of each metric (undefined ones left out), and the IoU of the summed pixel counts."""
    columns = ["iou", "boundary_iou", "boundary_iou_2pct", "boundary_accuracy", "mae"]
    dataset_iou = iou_dataset(scores["intersection"].tolist(), scores["union"].tolist())
    return {**{column: float(scores[column].mean()) for column in columns}, "iou_dataset": dataset_iou}


def predict(
    *,
    dataset: str,
    base: str,
    out: Path,
    splits: Sequence[Split] = SPLITS,
    seed: int = 0,
    device: Literal["auto", "cpu", "cuda"] | None = None,
    limit: int | None = None,
    config: Path | None = None,
) -> int:
    """Write a base's maps as 16-bit PNG, one a sample: what ``bench score`` and ``maps[path=...]`` read.

    Maps that ``out`` already holds are not computed again. Bases that need training are for `run`.

    Returns:
        The number of maps in ``out`` for the chosen splits.

    Raises:
        UserError: as `run`; or the base has no checkpoint.
    """
    settings = load(config)
    where = pick_device(device or settings.defaults.device)
    network = load_base(base, settings=settings, device=where, seed=seed)
    if network.trainable:
        raise UserError(
            f"{base} has no checkpoint", "--base", "give one with weights=FILE, or train it with 'bench run'"
        )
    opened = narrowed(whole_splits(load_dataset(dataset, settings=settings)), network, limit)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder, {error.strerror}", out, "name a writable one with --out") from None
    count = 0
    for split in splits:
        samples = opened[split]
        missing = [sample_id for sample_id in samples.ids if not (out / f"{sample_id}.png").is_file()]
        todo = Subset(samples, missing)
        for index in track(range(len(todo)), f"{split} maps of {base}"):
            sample = todo[index]
            (probs,) = network.predict([sample])
            write_map(out / f"{sample.id}.png", probs)
        count += len(samples)
    return count


def _by_id(folder: Path, suffixes: tuple[str, ...], option: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError("no such folder", folder, f"name an existing one with {option}")
    files = [path for path in folder.rglob("*") if path.suffix.lower() in suffixes]
    if not files:
        raise UserError("the folder holds no images", folder, f"it needs files of {', '.join(suffixes)}")
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in files}


def _say_what_is_reused(cells: int, pending: int) -> None:
    if not pending:
        note(f"all {cells} cells are in the store: nothing to compute (--force computes them again)")
    elif pending < cells:
        note(f"{cells - pending} of {cells} cells are in the store; {pending} to compute")


def _execute(jobs: list[runner.Job], result: RunResult, *, engine: str, on_error: str) -> None:
    fatal: list[engines.Outcome] = []

    def report(stage: runner.Stage, outcome: engines.Outcome) -> bool:
        if outcome.error:
            if on_error == "fail":
                fatal.append(outcome)
            if stage.cell is not None:
                _record_failure(result, stage.cell, outcome.error, said=not fatal)
            elif on_error == "fail":
                # The cells that wait for this stage fail with it.
                for job in jobs:
                    if not result.store.is_done(job.cell.manifest) and _waits_for(job, stage):
                        _record_failure(result, job.cell.manifest, outcome.error, said=False)
        elif stage.cell is not None:
            note(f"done: {stage.name}")
        return not fatal

    engines.load(engine)(list(runner.stages(jobs)), report)
    if fatal:
        raise fatal[0].user_error or CellError(fatal[0].trace)


def _waits_for(job: runner.Job, stage: runner.Stage) -> bool:
    return any(stage.name in later.needs for later in runner.stages([job]))


def _record_failure(result: RunResult, cell: Manifest, error: str, *, said: bool) -> None:
    """Record it in the store; say it too where the run goes on, as the error that stops a run is said at its end."""
    if said:
        note(f"failed: {cell.dataset} > {cell.base} > {cell.refiner}: {error}")
    result.failures[cell.key] = error
    written = datetime.now(UTC).isoformat(timespec="seconds")
    result.store.write(cell.model_copy(update={"status": "failed", "error": error, "written": written}))
