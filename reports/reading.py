"""What a report reads of a store: its manifests, then the numbers of the cells that are shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from bench.contracts import UserError
from bench.reports.scores import Scores, Shelf
from bench.reports.selection import Selected, select
from bench.runtime.collecting import no_collecting
from bench.store import Manifest, Store


@dataclass(frozen=True)
class Found:
    """Cells to show.

    Attributes:
        cells: one for each name.
        scores: of the finished ones, by key.
        damaged: the files that could not be read; what they belong to is no longer ``done``, or not there at all.
    """

    cells: list[Selected]
    scores: dict[str, Scores]
    damaged: tuple[UserError, ...]


@no_collecting()
def read(
    store: Store,
    baseline: str,
    keep: Callable[[Manifest], bool] | None = None,
    otherwise: Callable[[Manifest], bool] | None = None,
) -> Found:
    """The cells that `bench.reports.selection.select` chooses, with their numbers. A torn file costs its own cell.

    Args:
        store, baseline, keep: as `bench.reports.build` has them.
        otherwise: which cells where ``keep`` lets none through.

    Raises:
        UserError: there is no store, no cell is left, or no manifest can be read.
    """
    store.open_for_reading()
    manifests, damaged = store.readable()
    cells = select(manifests, baseline, keep) or (select(manifests, baseline, otherwise) if otherwise else [])
    if not cells:
        if damaged:
            raise damaged[0]
        fix = "fill it with 'bench run'" if keep is None else "name others, or fill it with 'bench run'"
        raise UserError("the store has no such cell", store.address, fix)
    shelf, scores = Shelf(store), {}
    for place, cell in enumerate(cells):
        if cell.manifest.status == "done":
            try:
                scores[cell.manifest.key] = _scores(shelf, cell.manifest)
            except UserError as error:
                damaged.append(error)
                lost = cell.manifest.model_copy(update={"status": "failed", "error": "its records cannot be read"})
                cells[place] = replace(cell, manifest=lost, damaged=True)
    return Found(cells, scores, tuple(damaged))


def _scores(shelf: Shelf, cell: Manifest) -> Scores:
    try:
        return shelf.put(cell)
    except UserError:
        # A run with --force may have put a later generation in its place since the manifests were read.
        newer = shelf.store.find(cell, least=cell.generation + 1)
        if newer is None:
            raise
        return shelf.put(newer)
