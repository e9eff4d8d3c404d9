"""Finished cells, and what they were made from: the one place that knows where everything of a store lies.

The files are the database, in a folder or in a bucket::

    cells/       finished cells, and those that are planned or have failed: `bench.store.cells`
    bases/KEY/fit/                      a trained base: `bench.store.learned`
    bases/KEY/maps-PRINT/               its maps of one split: `bench.store.maps`
    refiners/KEY/                       what a refiner learned
    parts/       records of cells that are computed in several stages: `bench.store.parts`
    kept/        pictures of single images of finished cells: `bench.store.kept`
    leases/      who works on what: `bench.store.leases`
    runs/        what each run of this machine did: its log, and what its engine keeps
    work/        what is under way: a folder for each lease, and files that are half-written

Several processes on several machines may share one. What is finished is created, never replaced, and checked by its
digest when it is read.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from bench.contracts import UserError
from bench.runtime.files import own_name
from bench.runtime.progress import note
from bench.runtime.sealed import sealed
from bench.store.address import objects_at
from bench.store.cells import Cells, as_table
from bench.store.checking import Damage, damages
from bench.store.garbage import Garbage, leftovers, old_runs, unused
from bench.store.kept import KeptImage, KeptImages
from bench.store.learned import Learned, Training
from bench.store.leases import Lease, Leases, LostError
from bench.store.manifest import FORKED, LAYOUT, SEQUENCE, STARTED, Manifest, PluggedMetric, VariantName
from bench.store.maps import EPISODES, MapCache
from bench.store.objects import WORK, answering
from bench.store.parts import Parts, cuts
from bench.store.tasks import Task, base_task, cell_task, fit_task, kept_task, maps_task

__all__ = [
    "FORKED",
    "LAYOUT",
    "RUNS",
    "SEQUENCE",
    "STARTED",
    "Damage",
    "Garbage",
    "KeptImage",
    "Learned",
    "Lease",
    "LostError",
    "Manifest",
    "MapCache",
    "PluggedMetric",
    "Store",
    "Task",
    "Training",
    "VariantName",
    "base_task",
    "cell_task",
    "fit_task",
    "kept_task",
    "maps_task",
]


RUNS = "runs"
"""The folder, of `Objects.local`, with a folder for each run."""


class Store:
    """Cells, with the maps and trainings they were made from. Picklable.

    Args:
        address: a folder, made on the first write; or a URL, see `bench.store.address.objects_at`.

    Attributes:
        leases: who works on what.

    Raises:
        UserError: no such kind of address. Every method raises it where the folder or the server fails.
    """

    def __init__(self, address: Path | str) -> None:
        self.objects, self._given = objects_at(address), str(address)
        self.leases = Leases(self.objects)
        self._said: set[str] = set()
        self._cells = Cells(self.objects, self._warn)
        self._kept = KeptImages(self.objects, self._cells, self._warn)

    @property
    def address(self) -> str:
        """The folder's path or the URL: what ``--store`` takes."""
        return self.objects.address

    def open_for_writing(self) -> None:
        """Prove that it can be written, and that of two who create one object one fails. Raises UserError otherwise."""
        name = f"{WORK}/{own_name(Path('probe'))}"  # swept, where this process is killed now
        try:
            once, twice = self.objects.create(name, b""), self.objects.create(name, b"")
            self.objects.delete(name)
        except UserError as error:
            raise UserError(error.what, error.where, "name a writable folder or bucket with --store") from None
        except FileNotFoundError:
            raise UserError("no such bucket", self.address, "make it, or name another with --store") from None
        if not once or twice:
            said = "two may create one object there, so that runs would overwrite each other"
            raise UserError(said, self.address, "name a store whose server knows If-None-Match")

    def open_for_reading(self) -> None:
        """Raises UserError where there is no store."""
        if "cells" not in self.objects.folders(""):
            raise UserError("no store here", self._given, "name one with --store, or fill it with 'bench run'")

    # Cells.

    def generation(self) -> int:
        """That of a run which begins now, see `Manifest.generation`."""
        return self._cells.generation()

    def manifests(self) -> list[Manifest]:
        """All manifests that count, in the order of their file names. Raises UserError for a damaged one."""
        found, damaged = self._cells.readable()
        if damaged:
            raise damaged[0]
        return found

    def readable(self) -> tuple[list[Manifest], list[UserError]]:
        """The manifests that can be read, and what is wrong with each of the others."""
        return self._cells.readable()

    def find(self, cell: Manifest, least: int = 0) -> Manifest | None:
        """The finished cell of the same key, of at least that generation, with its records whole; else None."""
        return self._cells.finished(cell, least)

    def finished(self, cells: Iterable[tuple[Manifest, int]]) -> set[str]:
        """The keys of those cells that `find` would find, each with its ``least``."""
        return self._cells.finished_among(cells)

    def records(self, cell: Manifest) -> pd.DataFrame:
        """Those of a stored cell, or of a planned one that is there by now; see `bench.store.cells.Cells.records`."""
        return self._cells.records(cell if cell.file else self.find(cell) or cell)

    def columns(self, cell: Manifest, names: Iterable[str]) -> pa.Table:
        """Some columns of the records of a stored cell; see `bench.store.cells.Cells.columns`."""
        return self._cells.columns(cell, names)

    def add(self, manifest: Manifest, records: pd.DataFrame | Iterable[pa.Table], lease: Lease | None = None) -> None:
        """Write a finished cell.

        Args:
            records: with the columns of `bench.store.cells.schema`, or more; tables are read one after the other.
            lease: on it; None where nobody else can be at work.

        Raises:
            LostError: another process has taken it over; nothing is written.
        """
        tables = [as_table(manifest, records)] if isinstance(records, pd.DataFrame) else records
        self._cells.add(manifest, tables, self._check(lease))

    def parts(self, cell: Manifest, least: int = 0) -> Parts:
        """The records of a cell that is computed in parts, of at least that generation."""
        return Parts(self.objects, cell.key, least, self._warn)

    def cuts(self) -> dict[str, dict[tuple[int, int], int]]:
        """See `bench.store.parts.cuts`."""
        return cuts(self.objects)

    def add_part(
        self, cell: Manifest, part: tuple[int, int], records: pd.DataFrame, about: Mapping[str, str], lease: Lease
    ) -> None:
        """Put the records of some images of a cell into the store.

        Args:
            cell: with the run's generation.
            part: numbers of the first image and of the one after the last.
            records: as for `add`.
            about: as `bench.store.parts.Parts.add`.

        Raises:
            LostError: another process has taken it over; nothing is written.
        """
        table = as_table(cell, records)
        self.parts(cell).add(*part, table, about, cell.generation, self._check(lease))

    def enter(self, manifest: Manifest) -> None:
        """Write that a cell is planned or has failed."""
        self._cells.enter(manifest)

    def strike(self, cell: Manifest) -> None:
        """Remove what `enter` has written."""
        self._cells.strike(cell)

    def refresh(self, planned: Sequence[Manifest]) -> None:
        """See `bench.store.cells.Cells.refresh`."""
        self._cells.refresh(planned)

    # Pictures of single images.

    def kept(self, key: str) -> tuple[KeptImage, ...]:
        """The images of a finished cell whose pictures were kept, in the order of its records; () where none were.

        Args:
            key: the cell's.
        """
        return self._kept.of(key)

    def picture(self, name: str) -> bytes:
        """The content of one, checked by its digest; see `bench.images.webp`.

        Args:
            name: one of `KeptImage`.

        Raises:
            UserError: it is damaged or missing.
        """
        return self._kept.picture(name)

    def pictures(self) -> set[str]:
        """The names of all."""
        return self._kept.there()

    def add_picture(self, content: bytes) -> str:
        """Put a picture into the store; its name."""
        return self._kept.add(content)

    def keep_images(self, cell: Manifest, images: Sequence[KeptImage], lease: Lease | None = None) -> None:
        """Say which images of a finished cell have pictures, in place of what was said before.

        Args:
            cell: as `find` gives it.
            images: in the order of its records; their pictures are there.
            lease: on `kept_task`; None where nobody else can be at work.

        Raises:
            LostError: another process has taken it over; nothing is written.
        """
        self._kept.write(cell, images, self._check(lease))

    # What cells are made from.

    def trained_base(self, base_key: str) -> Training:
        """Where a base's training is."""
        return Training(self.objects, f"bases/{base_key}/fit", base_task(base_key), self._warn)

    def fitted_refiner(self, fit_key: str, least: int = 0) -> Training:
        """Where a refiner's fit is, which must be of at least that generation."""
        return Training(self.objects, f"refiners/{fit_key}", fit_task(fit_key), self._warn, least)

    def trainings(self) -> set[str]:
        """The names of all trainings and fits, see `Training.name`; their files are not looked at."""
        bases = {f"{base}/fit": base for base in self.objects.folders("bases")}
        trained = {name for name, base in bases.items() if name in self.objects.folders(base)}
        return trained | set(self.objects.folders("refiners"))

    def maps(self, base_key: str, fingerprint: str, ids: Sequence[str] | None = None, start: int = 0) -> MapCache:
        """A base's maps of the split with that fingerprint.

        Args:
            ids, start: as of `bench.store.maps.MapCache`.
        """
        return MapCache(self.objects, self._maps(base_key, fingerprint), ids, start)

    def write_episodes(self, base_key: str, fingerprint: str, episodes: dict[str, Any]) -> None:
        """Record beside maps which labelled samples each query was answered from."""
        content = sealed(episodes, indent=2).encode()
        self.objects.replace(f"{self._maps(base_key, fingerprint)}/{EPISODES}", content)

    def has_episodes(self, base_key: str, fingerprint: str) -> bool:
        """Whether `write_episodes` has."""
        folder = self._maps(base_key, fingerprint)
        return f"{folder}/{EPISODES}" in self.objects.names(f"{folder}/")

    def keep(self, training: Training, work: Path, lease: Lease) -> None:
        """Put a finished training into the store.

        Raises:
            LostError: another process has taken it over; nothing is written.
        """
        training.add(work, self._check(lease))

    # Runs.

    def run_folder(self) -> Path:
        """A new run's, on this machine; it is not made."""
        begun = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        return self.objects.local / RUNS / f"{begun}-{os.urandom(2).hex()}"

    def run_folders(self) -> list[Path]:
        """Those of the runs that this machine sees, the latest first."""
        with answering(self.objects.local / RUNS):
            return sorted((path for path in (self.objects.local / RUNS).glob("*-*") if path.is_dir()), reverse=True)

    # Work under way.

    def workspace(self, lease: Lease, *, afresh: bool = False) -> Path:
        """A folder on this machine for the work of a lease, with what those who held it before have left.

        Args:
            afresh: without that.

        Raises:
            LostError: another process has taken the work over, and may be in that folder.
        """
        own = self._work(lease)
        with answering(own):
            if own.is_dir():
                return own
            self.leases.check(lease)
            left = [path for path in own.parent.glob(f"{lease.task}.*") if path.is_dir()]
            newest = max(left, key=lambda path: path.stat().st_mtime, default=None)
            silent = {token for token, gone in lease.before if not gone}
            if newest is None or afresh:
                own.mkdir(parents=True)
            elif newest.suffix[1:] in silent:
                # Its process may wake up and write on: into what it knows, which is not this.
                shutil.copytree(newest, own, ignore=shutil.ignore_patterns(".*.tmp"))  # it may be gone by then
            else:
                newest.rename(own)
            for path in left:
                shutil.rmtree(path, ignore_errors=True)
            for path in own.rglob(".*.tmp"):
                path.unlink()  # half-written by who had it before
        return own

    def is_full(self) -> bool:
        """Whether the disk that work is done on has no room at all."""
        with suppress(OSError):
            return shutil.disk_usage(self.objects.local).free == 0
        return False

    def clear(self, lease: Lease) -> None:
        """Remove the folder of a lease."""
        shutil.rmtree(self._work(lease), ignore_errors=True)

    def tidy(self) -> None:
        """Remove what processes that were killed have left and nobody needs: half-written files, stale leases.

        What unfinished work can go on with stays.
        """
        self.objects.sweep()
        for name in self.leases.stale():
            self.objects.delete(name)
        self._cells.tidy()
        folders = [path for path in (self.objects.local / WORK).glob("*.*") if path.is_dir() and path.name[0] != "."]
        parts = self.cuts()
        if not folders and not parts:
            return  # no manifest need be read
        done = {manifest.key: manifest.generation for manifest in self.readable()[0] if manifest.status == "done"}
        for key in parts.keys() & done.keys():
            # Who put it together was killed before it could.
            Parts(self.objects, key, 0, self._warn).clear(done[key])
        live = set(self.leases.live())
        for path in folders:
            name = path.name.rpartition(".")[0]
            if name not in live and self._is_done(Task.of(name), done):
                shutil.rmtree(path, ignore_errors=True)

    def damages(self) -> Iterator[Damage]:
        """All that is not what was written; every file is read."""
        return damages(self.objects, self._cells, self._kept)

    def leftovers(self) -> Iterator[Garbage]:
        """What ended processes have left; what stopped work could go on with, too, and logs of long ago."""
        yield from leftovers(self.objects, self._cells, self._kept, self.leases)
        yield from old_runs(self.run_folders())

    def unused(self, bases: Collection[str], fits: Collection[str]) -> Iterator[Garbage]:
        """Maps and trainings but those with these keys."""
        return unused(self.objects, bases, fits)

    def _is_done(self, task: Task, done: Collection[str]) -> bool:
        if task.kind in ("base", "fit"):
            training = self.trained_base(task.key) if task.kind == "base" else self.fitted_refiner(task.key)
            return training.find() is not None
        return task.kind == "cell" and task.key in done

    def _warn(self, error: UserError) -> None:
        """Say once what is damaged, and is made anew."""
        if str(error) not in self._said:
            self._said.add(str(error))
            note(f"warning: {error}")

    def _check(self, lease: Lease | None) -> Any:
        return partial(self.leases.check, lease) if lease is not None else lambda: None

    def _work(self, lease: Lease) -> Path:
        return self.objects.local / WORK / f"{lease.task}.{lease.token}"

    @staticmethod
    def _maps(base_key: str, fingerprint: str) -> str:
        return f"bases/{base_key}/maps-{fingerprint[:16]}"
