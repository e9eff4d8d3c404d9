"""Is all that a store holds what was written?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from bench.contracts import UserError
from bench.runtime.progress import track
from bench.runtime.sealed import unsealed
from bench.store.cells import Cells
from bench.store.kept import KeptImages
from bench.store.learned import Learned
from bench.store.maps import EPISODES, MapCache
from bench.store.objects import Objects


@dataclass(frozen=True)
class Damage:
    """Something that is not what was written.

    Attributes:
        what: in words.
        where: its file or folder.
        mend: takes it out of the store, so that the next run makes it anew.
    """

    what: str
    where: str
    mend: Callable[[], None]


def damages(objects: Objects, cells: Cells, kept: KeptImages) -> Iterator[Damage]:
    """All that is damaged; every file is read once."""
    yield from _cells(cells)
    yield from _bases(objects)
    yield from _refiners(objects)
    for what, name, mend in kept.damaged():
        yield Damage(what, f"{objects.address}/{name}", mend)


def _cells(cells: Cells) -> Iterator[Damage]:
    found, broken = cells.all()
    for name, error in broken.items():
        yield Damage(error.what, error.where, partial(cells.remove, name))
    for manifest in track(found, "check cells"):
        if manifest.status == "done":
            try:
                cells.records(manifest)
            except UserError as error:
                yield Damage(error.what, error.where, partial(cells.remove, manifest.file))


def _bases(objects: Objects) -> Iterator[Damage]:
    for base in track(objects.folders("bases"), "check bases"):
        for folder in objects.folders(base):
            if folder.endswith("/fit"):
                yield from _training(objects, folder)
            else:
                yield from _maps(objects, folder)


def _maps(objects: Objects, folder: str) -> Iterator[Damage]:
    cache = MapCache(objects, folder)
    cache.check()
    for name in cache.damaged:
        yield Damage("damaged maps", f"{objects.address}/{name}", partial(objects.delete, name))
    episodes = f"{folder}/{EPISODES}"
    if episodes in objects.names(f"{folder}/"):
        try:
            unsealed(objects.read(episodes))
        except ValueError as error:
            yield Damage(f"damaged, {error}", f"{objects.address}/{episodes}", partial(objects.delete, episodes))


def _refiners(objects: Objects) -> Iterator[Damage]:
    for folder in track(objects.folders("refiners"), "check refiners"):
        yield from _training(objects, folder)


def _training(objects: Objects, folder: str) -> Iterator[Damage]:
    mend, where = partial(objects.withdraw, folder), f"{objects.address}/{folder}"
    try:
        found = objects.fetch(folder)
        if found is None or Learned(found).finished is None:
            yield Damage("damaged, finished.json is gone", where, mend)
    except FileNotFoundError as error:
        yield Damage(f"damaged, {error} is gone", where, mend)
    except UserError as error:
        yield Damage(error.what, where, mend)
