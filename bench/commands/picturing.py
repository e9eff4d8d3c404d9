"""The pictures that a page lacks, where they are quick: ``bench report --html`` has them made before it is written."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.commands.results import Results
from bench.config import Grid, Settings, load
from bench.contracts import UserError
from bench.execution import engines, stages
from bench.execution.job import Job
from bench.execution.plan import cells
from bench.plugins.entry_points import check_parameters
from bench.reports.page import options
from bench.runtime.environment import pick_device
from bench.runtime.failures import summarised
from bench.runtime.progress import note
from bench.store import Manifest, Store

MOST = 60.0
"""Seconds after which no further cell is begun."""


@dataclass(frozen=True)
class _Missing:
    """A finished cell without pictures; ``job`` is None where it cannot be refined again here, and ``why`` says so."""

    cell: Manifest
    job: Job | None = None
    why: str = ""


def picture(results: Results, keep: str, parameters: Sequence[str] = (), config: Path | None = None) -> None:
    """Put pictures into the store of cells that have none: the quickest refiners first, for a minute.

    Only of those whose base maps and fitted refiner are in the store, and whose data and plug-ins are here: nothing is
    trained, and no number changes. What is not made is a line on stderr.

    Args:
        keep: of how many images, see `bench.config.Grid`; ``"0"`` makes none.
        parameters, config: as they were given to the run.

    Raises:
        UserError: ``keep`` or the settings are wrong.
    """
    Grid.of(keep_maps=keep)
    settings = load(config, parameters)
    check_parameters(settings)
    lacking = [cell for cell in results.finished if not results.store.kept(cell.key)] if keep != "0" else []
    if not lacking:
        return
    stored = {cell.key: cell for cell in results.finished}
    found = [one for group in _alike(lacking) for one in _planned(results.store, stored, group, keep, settings)]
    jobs = sorted((one.job for one in found if one.job), key=lambda job: _seconds(job, keep))
    if jobs:
        note(f"{len(jobs)} cells have no pictures; they are made for {MOST:.0f} s (--keep-maps 0 leaves them out)")
        _make(jobs)
    for text in _unmade(results, found):
        note(text)


def _alike(lacking: Sequence[Manifest]) -> Iterator[list[Manifest]]:
    """Those that differ in their refiners and seeds alone."""
    groups: dict[str, list[Manifest]] = defaultdict(list)
    for cell in lacking:
        groups[json.dumps({**options([cell]), "refiner": None, "seed": None})].append(cell)
    return iter(groups.values())


def _planned(
    store: Store, stored: Mapping[str, Manifest], group: Sequence[Manifest], keep: str, settings: Settings
) -> Iterator[_Missing]:
    """Each of a group with its job, as a run would plan it now."""
    each = [options([cell]) for cell in group]
    named = each[0] | {key: list(dict.fromkeys(one[key][0] for one in each)) for key in ("refiner", "seed")}
    try:
        (grid,) = settings.grids(None, Grid.of(**named, on_error="skip", keep_maps=keep))
        planned = {cell.manifest.key: cell for cell in cells(grid, settings)}
    except Exception as error:  # a plug-in may raise anything, and what made the cell may be gone
        yield from (_Missing(cell, why=summarised(error)) for cell in group)
        return
    for manifest in group:
        cell = planned.get(manifest.key)
        if cell is None or cell.error:
            why = cell.error if cell else "data, plug-ins or settings are not what they were"
            yield _Missing(manifest, why=why)
            continue
        baseline = stored.get(cell.baseline_key)
        job = Job(cell, store, pick_device(grid.device), grid.workers, keep_maps=keep, baseline=baseline)
        if stages.is_made(job):
            yield _Missing(manifest, job)
        else:
            yield _Missing(manifest, why="the base's maps, or the fitted refiner, are no longer in the store")


def _seconds(job: Job, keep: str) -> float:
    """What refining the chosen images took when the cell was computed."""
    each = job.store.records(job.cell.manifest).seconds.fillna(0)
    count = keep.rpartition(":")[2]
    return float(each.mean() * (len(each) if count == "all" else min(len(each), int(count))))


def _make(jobs: Sequence[Job]) -> None:
    store, end = jobs[0].store, time.monotonic() + MOST

    def told(stage: stages.Stage, outcome: engines.Outcome) -> bool:
        if outcome.error:
            note(f"warning: no {stage.name}: {outcome.error}")
        return time.monotonic() < end

    try:
        store.open_for_writing()
        with store.leases.keeping():
            engines.load("inline")([*stages.stages([], jobs)], told, engines.Placement())
        store.tidy()
    except UserError as error:
        note(f"warning: no pictures are made: {error}")


def _unmade(results: Results, found: Sequence[_Missing]) -> Iterator[str]:
    reasons: dict[str, list[Manifest]] = defaultdict(list)
    for one in found:
        if one.job is None:
            reasons[one.why].append(one.cell)
        elif not results.store.kept(one.cell.key):
            reasons[f"{MOST:.0f} s were over; the same command, or bench run --keep-maps, goes on"].append(one.cell)
    for why, lacking in reasons.items():
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        yield f"no pictures of {lacking[0].title}{more}: {why}"
