"""What of a store no run needs."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.store.cells import Cells
from bench.store.kept import KeptImages
from bench.store.leases import Leases
from bench.store.objects import WORK, Objects
from bench.store.parts import FOLDER as PARTS

KEPT_RUNS, KEPT_DAYS = 20, 30
"""Logs of runs: so many of the latest stay, and whatever was written to in so many days: a cluster may be at it."""


@dataclass(frozen=True)
class Garbage:
    """Something that no run needs.

    Attributes:
        what: in words.
        name: of the object or folder.
        remove: takes it away.
    """

    what: str
    name: str
    remove: Callable[[], object]


def leftovers(objects: Objects, cells: Cells, kept: KeptImages, leases: Leases) -> Iterator[Garbage]:
    """What ended processes have left: records without a manifest, blobs of no folder, work that nobody goes on with.

    And the pictures of cells that are gone.
    """
    live = set(leases.live())
    if not live:  # who writes a cell has its records there before its manifest
        for name in cells.orphans():
            yield Garbage("records without a manifest", name, partial(objects.delete, name))
        for name in objects.orphans():
            yield Garbage("of no folder", name, partial(objects.delete, name))
        for what, name in kept.garbage():  # who keeps pictures has them there before their list
            yield Garbage(what, name, partial(objects.delete, name))
        for name in objects.names(f"{PARTS}/"):
            yield Garbage("a part of a cell that was stopped", name, partial(objects.delete, name))
    for path in sorted((objects.local / WORK).glob("[!.]*.*")):
        if path.is_dir() and path.name.rpartition(".")[0] not in live:
            remove = partial(shutil.rmtree, path, ignore_errors=True)
            yield Garbage("work that was stopped", f"{WORK}/{path.name}", remove)
    if (earlier := objects.local / "partial").is_dir():
        yield Garbage("of an earlier version", earlier.name, partial(shutil.rmtree, earlier, ignore_errors=True))


def old_runs(folders: Sequence[Path]) -> Iterator[Garbage]:
    """What runs have left of themselves that ended long ago.

    Args:
        folders: of all runs, the latest first.
    """
    for folder in folders[KEPT_RUNS:]:
        files = [folder, *folder.rglob("*")]
        if time.time() - max(path.lstat().st_mtime for path in files) > KEPT_DAYS * 24 * 3600:
            remove = partial(shutil.rmtree, folder, ignore_errors=True)
            yield Garbage("of a run that ended long ago", f"{folder.parent.name}/{folder.name}", remove)


def unused(objects: Objects, bases: Collection[str], fits: Collection[str]) -> Iterator[Garbage]:
    """Maps and trainings that no cell was made from.

    Args:
        bases, fits: the keys of those that cells were made from.
    """
    for base in objects.folders("bases"):
        if base.rpartition("/")[2] not in bases:
            for folder in objects.folders(base):
                yield Garbage("of no cell", folder, partial(_remove, objects, folder))
    for folder in objects.folders("refiners"):
        if folder.rpartition("/")[2] not in fits:
            yield Garbage("of no cell", folder, partial(_remove, objects, folder))


def _remove(objects: Objects, folder: str) -> None:
    objects.withdraw(folder)
    for name in objects.tree(folder):
        objects.delete(name)
