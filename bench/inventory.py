"""What is here: plug-ins, variants, experiments, datasets, versions. For ``list``, ``data`` and ``doctor``."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from bench.config import Kind, Settings
from bench.contracts import SPLITS, Described, Finding, UserError
from bench.environment import cpu_name, git_commit, gpu_names, package_versions
from bench.metrics import METRICS
from bench.registry import FILLED_IN, Plugin, load_dataset, plugins


def inventory(settings: Settings, kinds: Iterable[str], *, describe: bool = False) -> dict[str, list[dict[str, Any]]]:
    """Kind -> entries with ``name``, ``status`` ("" where usable), ``summary`` and ``parameters``.

    Args:
        describe: add ``description``, the fields of `bench.contracts.Description`, to the bases that have one; their
            networks are built for it, without computing anything.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for kind in kinds:
        if kind == "metrics":
            found[kind] = [_entry(name, summary=text) for name, text in METRICS.items()]
        elif kind == "experiments":
            found[kind] = [_entry(name, summary=e.about) for name, e in settings.experiments.items()]
        else:
            found[kind] = _plugged_in(settings, _kind(kind), describe)
    return found


def datasets(settings: Settings) -> list[dict[str, Any]]:
    """One row a dataset: its splits' sizes, and what its folder lacks."""
    rows = []
    for name, plugin in plugins("dataset").items():
        row: dict[str, Any] = {"dataset": name, **dict.fromkeys(SPLITS, ""), "state": plugin.problem}
        if not plugin.problem:
            try:
                source = load_dataset(name, settings=settings)
                row |= {split: len(source.split(split)) for split in SPLITS}
                row["state"] = source.completeness() or "complete"
            except UserError as error:
                row["state"] = f"{error.what} ({error.where})"
        rows.append(row)
    return rows


def verify(settings: Settings, names: Sequence[str]) -> Iterator[tuple[str, list[Finding]]]:
    """Findings a dataset; without names, of every dataset here. Raises UserError for a named one that is absent."""
    present = [row["dataset"] for row in datasets(settings) if row["train"] != "" or row["test"] != ""]
    for name in names or present:
        yield name, load_dataset(name, settings=settings).verify()


def doctor(settings: Settings) -> dict[str, dict[str, str]]:
    """Sections of lines, for a person to read."""
    extras = {
        f"{plugin.kind} {plugin.name}": plugin.problem or "ready"
        for kind in ("base", "refiner")
        for plugin in plugins(_kind(kind)).values()
    }
    return {
        "versions": {name: number or "not installed" for name, number in package_versions().items()},
        "device": {"cpu": cpu_name(), "gpu": ", ".join(gpu_names()) or "none (NVML finds no driver)"},
        "checkout": {"commit": git_commit() or "not a git checkout", "store": str(settings.defaults.store)},
        "plug-ins": extras,
        "datasets": {row["dataset"]: _sizes(row) for row in datasets(settings)},
    }


def _kind(plural: str) -> Kind:
    kinds: dict[str, Kind] = {"datasets": "dataset", "bases": "base", "refiners": "refiner"}
    return kinds[plural if plural.endswith("s") else f"{plural}s"]


def _sizes(row: dict[str, Any]) -> str:
    if row["test"] == "":
        return str(row["state"])
    return f"{row['train']} train, {row['val']} val, {row['test']} test; {row['state']}"


def _plugged_in(settings: Settings, kind: Kind, describe: bool) -> list[dict[str, Any]]:
    entries = [
        _entry(plugin.name, plugin.problem, plugin.summary, _parameters(plugin)) | _description(plugin, describe)
        for plugin in plugins(kind).values()
    ]
    aliases: dict[str, str] = getattr(settings.variants, kind)
    return entries + [_entry(name, summary=f"= {spec}") for name, spec in aliases.items()]


def _entry(name: str, status: str = "", summary: str = "", parameters: dict[str, str] | None = None) -> dict[str, Any]:
    return {"name": name, "status": status, "summary": summary, "parameters": parameters or {}}


def _description(plugin: Plugin, describe: bool) -> dict[str, Any]:
    if not describe or plugin.problem or not isinstance(plugin.factory, type):
        return {}
    if not issubclass(plugin.factory, Described):
        return {}
    required = [name for name, default in _parameters(plugin).items() if default == "(required)"]
    return {} if required else {"description": asdict(plugin.factory().describe())}


def _parameters(plugin: Plugin) -> dict[str, str]:
    if plugin.factory is None:
        return {}
    keywords = [p for p in inspect.signature(plugin.factory).parameters.values() if p.kind is p.KEYWORD_ONLY]
    required = inspect.Parameter.empty
    return {
        p.name: "(required)" if p.default is required else repr(p.default)
        for p in keywords
        if p.name not in FILLED_IN[plugin.kind]
    }
