"""What to put into a bug report."""

from __future__ import annotations

from typing import Any

from bench.commands.data import datasets
from bench.config import Settings
from bench.plugins.catalogue import catalogue
from bench.redaction import redacted
from bench.runtime.environment import cpu_name, git_commit, gpu_names, intruders, package_versions


def doctor(settings: Settings) -> dict[str, dict[str, str]]:
    """Sections of lines, for a person to read."""
    extras = {
        f"{kind} {listed.name}": listed.problem or "ready"
        for kind in ("base", "refiner", "metric")
        for listed in catalogue(kind)
    }
    return {
        "versions": {name: number or "not installed" for name, number in package_versions().items()},
        "names": {"bench": _owners(intruders())},
        "device": {"cpu": cpu_name(), "gpu": ", ".join(gpu_names()) or "none (NVML finds no driver)"},
        "checkout": {"commit": git_commit() or "not a git checkout", "store": redacted(str(settings.defaults.store))},
        "plug-ins": extras,
        "datasets": {row["dataset"]: _sizes(row) for row in datasets(settings)},
    }


def _owners(others: list[str]) -> str:
    if not others:
        return "refinebench's alone"
    return f"mixed with the files of {', '.join(others)}: give refinebench an environment of its own"


def _sizes(row: dict[str, Any]) -> str:
    if row["test"] == "":
        return str(row["state"])
    return f"{row['train']} train, {row['val']} val, {row['test']} test; {row['state']}"
