"""Which stored cells a named experiment holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.config import Defaults, Grid, Kind, Settings
from bench.execution.plan import chosen
from bench.plugins.variants import Variant, digest
from bench.store import Manifest, VariantName


def in_experiment(settings: Settings, name: str) -> Callable[[Manifest], bool]:
    """Whether a stored cell belongs to the experiment. Raises UserError where there is no such experiment."""
    parts = [_belongs(settings, name, part) for part in settings.grids(name, Grid())]
    return lambda cell: any(belongs(cell) for belongs in parts)


def refiners_of(settings: Settings, name: str) -> list[VariantName]:
    """The refiners that the experiment names, and the baseline. Raises UserError as `in_experiment`."""
    parts = settings.grids(name, Grid())
    return [row.name for part in parts for row in chosen(part, settings, f"experiments.{name}").rows]


def _belongs(settings: Settings, name: str, part: Defaults) -> Callable[[Manifest], bool]:
    picked = chosen(part, settings, f"experiments.{name}")

    def belongs(cell: Manifest) -> bool:
        named = (
            any(_is(variant, "dataset", cell) for variant in picked.datasets)
            and any(_is(variant, "base", cell) for variant in picked.bases)
            and any(_is(variant, "refiner", cell) for variant in picked.rows)
        )
        return named and cell.seed in part.seed and cell.protocol in part.protocol and _under(part.limit, cell)

    return belongs


def _under(limit: int | None, cell: Manifest) -> bool:
    """Whether the cell is of a run with that limit: it may have cut nothing."""
    return cell.limit == limit or (cell.limit is None and limit is not None and 0 < cell.largest <= limit)


def _is(variant: Variant, kind: Kind, cell: Manifest) -> bool:
    """Whether a stored cell is of the variant, whatever it was called then; an earlier layout has but its label."""
    if kind not in cell.names:
        return bool(getattr(cell, kind) == variant.label)
    if cell.names[kind] == variant.name:
        return True
    # A dataset that is named by its folders is known by nothing else until its files are read.
    if kind == "dataset" and any(isinstance(value, Path) for value in variant.parameters.values()):
        return False
    return digest(cell.variant(kind)) == digest(variant.identity)
