"""Which of the stored cells a report shows: the newest finished one of each name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from bench.contracts import UserError
from bench.store import Manifest, Store


class Name(NamedTuple):
    """What a reader knows a cell by. Two cells of one name differ in key where data or parameters changed."""

    dataset: str
    limit: int | None
    protocol: str
    base: str
    refiner: str
    seed: int


@dataclass(frozen=True, slots=True)
class Cell:
    """The cell to show under a name.

    Attributes:
        manifest: the newest finished one; where none is finished, the newest of all.
        superseded: number of finished cells of the same name that it replaces.
        newer: an unfinished cell of the same name that was written after ``manifest``, if any.
    """

    manifest: Manifest
    superseded: int = 0
    newer: Manifest | None = None


def latest(manifests: Iterable[Manifest]) -> list[Cell]:
    """One cell for each name, in the order of their places in the grid."""
    named: dict[Name, list[Manifest]] = defaultdict(list)
    for manifest in manifests:
        named[_name(manifest)].append(manifest)
    cells = [_choose(group) for group in named.values()]
    return sorted(cells, key=_place)


def select(store: Store, baseline: str, keep: Callable[[Manifest], bool] | None = None) -> list[Cell]:
    """The cells of a store that ``keep`` lets through, one for each name.

    Finished cells of the baseline come along where a kept one can be compared with them: without them,
    ``bench run --refiner prn`` would have no gain to show though the store knows the base's own numbers.

    Raises:
        UserError: there is no store, a manifest is damaged, or no cell is left.
    """
    store.open_for_reading()
    stored = store.manifests()
    kept = [manifest for manifest in stored if keep is None or keep(manifest)]
    if not kept:
        fix = "fill it with 'bench run'" if keep is None else "name others, or fill it with 'bench run'"
        raise UserError("the store has no such cell", store.root, fix)
    keys = {manifest.key for manifest in kept}
    others = [
        manifest
        for manifest in stored
        if manifest.refiner == baseline and manifest.status == "done" and manifest.key not in keys
    ]
    return latest([*kept, *(other for other in others if any(comparable(other, manifest) for manifest in kept))])


def comparable(one: Manifest, other: Manifest) -> bool:
    """Whether both refine the same maps of the same images: only then their records pair up."""
    if _name(one)._replace(refiner="") != _name(other)._replace(refiner=""):
        return False
    return all(one.identity.get(part) == other.identity.get(part) for part in ("base", "test", "metrics"))


def _name(manifest: Manifest) -> Name:
    return Name(*(getattr(manifest, field) for field in Name._fields))


def _place(cell: Cell) -> tuple[int, str, str, str, int]:
    manifest = cell.manifest
    return manifest.position, manifest.dataset, manifest.base, manifest.refiner, manifest.seed


def _choose(manifests: list[Manifest]) -> Cell:
    newest = max(manifests, key=lambda manifest: manifest.written)
    finished = [manifest for manifest in manifests if manifest.status == "done"]
    if not finished:
        return Cell(newest)
    shown = max(finished, key=lambda manifest: manifest.written)
    return Cell(shown, len(finished) - 1, newest if newest.written > shown.written else None)
