"""The datasets found here: the sizes of their splits, and what is not as it should be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bench.config import Settings
from bench.contracts import SPLITS, Finding, TellsReading, UserError
from bench.plugins.catalogue import Listed, catalogue
from bench.plugins.entry_points import foreign
from bench.registry import load_dataset
from bench.runtime.isolation import LostError, isolated
from bench.runtime.progress import note

DATASET_SECONDS = 60.0
"""A foreign dataset that takes longer than this to list its splits counts as broken."""


def datasets(settings: Settings) -> list[dict[str, Any]]:
    """One row a dataset: its splits' sizes, and what its folder lacks."""
    strangers = foreign("dataset")
    return [_dataset(settings, listed, listed.name in strangers) for listed in catalogue("dataset")]


def verify(settings: Settings, names: Sequence[str]) -> Iterator[tuple[str, list[Finding]]]:
    """Findings a dataset; without names, of every dataset here. Raises UserError for a named one that is absent."""
    present = [row["dataset"] for row in datasets(settings) if row["train"] != "" or row["test"] != ""]
    for name in names or present:
        source = load_dataset(name, settings=settings)
        findings = source.verify()
        if isinstance(source, TellsReading) and not any(finding.error for finding in findings):
            note(f"{name}: {source.reading()}")
        yield name, findings


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
