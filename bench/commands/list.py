"""What can be named: plug-ins, variants, experiments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bench.config import Kind, Settings
from bench.metrics.columns import METRICS
from bench.plugins.catalogue import catalogue


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


def _kind(plural: str) -> Kind:
    kinds: dict[str, Kind] = {"datasets": "dataset", "bases": "base", "refiners": "refiner", "metrics": "metric"}
    return kinds[plural if plural.endswith("s") else f"{plural}s"]


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
