"""What a reader of a grid's table has to know of its data: images that nothing uses, and too few to tell anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from bench.contracts import BaseNetwork, PartialBase, UserError
from bench.execution.cell import Cell
from bench.reports.statistics import FEW


def advice(cells: Sequence[Cell]) -> Iterator[str]:
    """Sentences on the datasets of a grid, in the order of its cells."""
    for name, group in groupby(cells, key=lambda cell: cell.manifest.dataset):
        found = list(group)
        fewest = min(len(cell.ids["test"]) for cell in found)
        if fewest < FEW:
            yield f"warning: {fewest} test images of {name}: with fewer than {FEW} a 95 % interval covers less"
        unused = _unused(found)
        if unused:
            yield f"{name}: {unused}"


def _unused(cells: Sequence[Cell]) -> str:
    """Which of a dataset's images no cell uses, where its ``val=`` and ``test=`` could change that; else ""."""
    first = cells[0]
    train = first.ids["train"]
    if not train or first.manifest.limit is not None or any(cell.base_trainable for cell in cells):
        return ""
    # Only of a dataset that cuts its splits itself: what others publish as train is not for testing.
    if not {"val", "test"} <= first.dataset.parameters.keys() or not getattr(first.dataset.make(), "cuts", False):
        return ""
    if not all(_has_maps(cell.base.make(device="cpu", seed=cell.seed), train) for cell in cells):
        return ""
    images = sum(map(len, first.ids.values()))
    if any(cell.fit_key for cell in cells):
        said = f"train: {len(train)} of {images} images are used by nothing, as the base is not trained"
        return f"{said}: val=0.5,test=0.5 would use them"
    left = len(train) + len(first.ids["val"])
    said = f"train and val: {left} of {images} images are used by nothing, as neither base nor refiner learns"
    return f"{said}: val=0,test=1 would use them"


def _has_maps(base: BaseNetwork, ids: Sequence[str]) -> bool:
    if not isinstance(base, PartialBase):
        return True
    try:
        return len(base.covered(ids)) == len(ids)
    except UserError:
        return False
