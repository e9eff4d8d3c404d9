"""What is here: plug-ins, variants, experiments, datasets, versions. For ``list``, ``data`` and ``doctor``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bench.config import Kind, Settings
from bench.contracts import SPLITS, Finding, UserError
from bench.metrics.columns import METRICS
from bench.plugins.catalogue import Listed, catalogue
from bench.plugins.entry_points import foreign
from bench.registry import load_dataset
from bench.runtime.environment import cpu_name, git_commit, gpu_names, package_versions
from bench.runtime.isolation import LostError, isolated

DATASET_SECONDS = 60.0
"""A foreign dataset that takes longer than this to list its splits counts as broken."""


def inventory(settings: Settings, kinds: Iterable[str], *, describe: bool = False) -> dict[str, list[dict[str, Any]]]:
    """Kind -> entries with ``name``, ``status`` ("" where usable), ``summary`` and ``parameters``.

    Args:
        describe: add ``description``, the fields of `bench.contracts.Description`, to the bases that have one; their
            networks are built for it, without computing anything.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for kind in kinds:
        if kind == "metrics":
            built_in = [_entry(metric.key, summary=f"{metric.title}: {metric.meaning}") for metric in METRICS]
            found[kind] = built_in + _plugged_in(settings, "metric", describe)
        elif kind == "experiments":
            found[kind] = [_entry(name, summary=e.about) for name, e in settings.experiments.items()]
        else:
            found[kind] = _plugged_in(settings, _kind(kind), describe)
    return found


def datasets(settings: Settings) -> list[dict[str, Any]]:
    """One row a dataset: its splits' sizes, and what its folder lacks."""
    strangers = foreign("dataset")
    return [_dataset(settings, listed, listed.name in strangers) for listed in catalogue("dataset")]


def verify(settings: Settings, names: Sequence[str]) -> Iterator[tuple[str, list[Finding]]]:
    """Findings a dataset; without names, of every dataset here. Raises UserError for a named one that is absent."""
    present = [row["dataset"] for row in datasets(settings) if row["train"] != "" or row["test"] != ""]
    for name in names or present:
        yield name, load_dataset(name, settings=settings).verify()


def doctor(settings: Settings) -> dict[str, dict[str, str]]:
    """Sections of lines, for a person to read."""
    extras = {
        f"{kind} {listed.name}": listed.problem or "ready"
        for kind in ("base", "refiner", "metric")
        for listed in catalogue(_kind(kind))
    }
    return {
        "versions": {name: number or "not installed" for name, number in package_versions().items()},
        "device": {"cpu": cpu_name(), "gpu": ", ".join(gpu_names()) or "none (NVML finds no driver)"},
        "checkout": {"commit": git_commit() or "not a git checkout", "store": str(settings.defaults.store)},
        "plug-ins": extras,
        "datasets": {row["dataset"]: _sizes(row) for row in datasets(settings)},
    }


def _kind(plural: str) -> Kind:
    kinds: dict[str, Kind] = {"datasets": "dataset", "bases": "base", "refiners": "refiner", "metrics": "metric"}
    return kinds[plural if plural.endswith("s") else f"{plural}s"]


def _dataset(settings: Settings, listed: Listed, stranger: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"dataset": listed.name, **dict.fromkeys(SPLITS, ""), "state": listed.problem}
    if listed.problem:
        return row
    try:
        if not stranger:
            (found,) = _sizes_of(settings, listed.name)
        else:
            (found,) = isolated(_sizes_of, settings, listed.name, seconds=DATASET_SECONDS, quiet=True)
        return row | found
    except UserError as error:
        return row | {"state": f"{error.what} ({error.where})"}
    except LostError as lost:
        return row | {"state": f"broken: {lost}"}


def _sizes_of(settings: Settings, name: str) -> Iterator[dict[str, Any]]:
    source = load_dataset(name, settings=settings)
    yield {split: len(source.split(split)) for split in SPLITS} | {"state": source.completeness() or "complete"}


def _sizes(row: dict[str, Any]) -> str:
    if row["test"] == "":
        return str(row["state"])
    return f"{row['train']} train, {row['val']} val, {row['test']} test; {row['state']}"


def _plugged_in(settings: Settings, kind: Kind, describe: bool) -> list[dict[str, Any]]:
    entries = [
        _entry(listed.name, listed.problem, listed.summary, listed.parameters)
        | ({"description": listed.description} if listed.description else {})
        for listed in catalogue(kind, describe=describe)
    ]
    aliases: dict[str, str] = getattr(settings.variants, kind)
    return entries + [_entry(name, summary=f"= {spec}") for name, spec in aliases.items()]


def _entry(name: str, status: str = "", summary: str = "", parameters: dict[str, str] | None = None) -> dict[str, Any]:
    return {"name": name, "status": status, "summary": summary, "parameters": parameters or {}}
