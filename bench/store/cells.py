"""The cells of a store: their manifests and records.

``cells/KE/STEM.GENERATION.json`` is the manifest of a finished cell and ``.parquet`` its records;
``cells/KE/STEM.json`` says of one that is not finished that it is planned or has failed. The first two are created,
never replaced, the manifest last, so that of a finished cell nothing is lost to who comes late. The highest generation
counts. ``KE`` is how the key begins: what is done for one cell takes no longer where there are many. Earlier versions
had all in ``cells``.
"""

from __future__ import annotations

import io
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.contracts import UserError
from bench.metrics.columns import BASE, BASE_SECONDS, RECORD_COLUMNS
from bench.runtime.files import content_digest
from bench.runtime.sealed import sealed
from bench.store.manifest import LAYOUT, REPAIR, Manifest, short
from bench.store.manifests import Manifests, stem
from bench.store.objects import Objects

_NAME = re.compile(r".*__(?P<key>[0-9A-Za-z]{12})(\.(?P<generation>\d+))?\.(json|parquet)")


@dataclass(frozen=True)
class Cells:
    """The cells of one store.

    Attributes:
        warn: is told of a damaged one that is passed over.
    """

    objects: Objects
    warn: Callable[[UserError], None]

    @cached_property
    def _manifests(self) -> Manifests:
        return Manifests(self.objects)

    def generation(self) -> int:
        """The next one."""
        return 1 + max((generation_of(name) for name in self._names()), default=0)

    def all(self) -> tuple[list[Manifest], dict[str, UserError]]:
        """All manifests that can be read, and what is wrong with each of the others, by its file's name."""
        return self._read(self._names())

    def orphans(self) -> list[str]:
        """The records that have no manifest."""
        names = set(self._names())
        records = sorted(name for name in names if name.endswith(".parquet"))
        return [name for name in records if f"{FOLDER}/{stem(name)}.json" not in names]

    def readable(self) -> tuple[list[Manifest], list[UserError]]:
        """The manifests that can be read, by file name, and what is wrong with each of the others.

        Of a finished cell the highest generation; beside it, that of a later run that failed.
        """
        found, damaged = self._read(self._names())
        cells: dict[str, list[Manifest]] = defaultdict(list)
        for manifest in found:
            cells[manifest.key].append(manifest)
        return [manifest for group in cells.values() for manifest in _current(group)], list(damaged.values())

    def finished(self, cell: Manifest, least: int = 0) -> Manifest | None:
        """The finished cell of that key, whose records are whole; None where there is none.

        Args:
            least: the generation that it must have.
        """
        stored, _ = self._read(self._of(cell.key))
        return self._whole([one for one in stored if one.key == cell.key], least)

    def finished_among(self, cells: Iterable[tuple[Manifest, int]]) -> set[str]:
        """The keys of those that are `finished`, each with its ``least``; all of them read at once."""
        by_key: dict[str, list[Manifest]] = defaultdict(list)
        for stored in self._read(self._names())[0]:
            by_key[stored.key].append(stored)
        return {cell.key for cell, least in cells if self._whole(by_key[cell.key], least) is not None}

    def of_key(self, key: str) -> Manifest | None:
        """The finished cell of that key that counts; its records are not looked at."""
        done = [one for one in self._read(self._of(key))[0] if one.key == key and one.status == "done"]
        return max(done, key=lambda one: one.generation, default=None)

    def records(self, cell: Manifest) -> pd.DataFrame:
        """One row an image, with `bench.metrics.columns.RECORD_COLUMNS` and the columns of `Manifest.metrics`.

        That of a curve holds float64 arrays ``(PluggedMetric.curve,)``.

        Raises:
            UserError: the file is missing or damaged.
        """
        content, where = self._content(cell)
        with _decoding(where):
            frame = pd.read_parquet(io.BytesIO(content))
        _check(cell, frame.columns, len(frame), where)
        return frame

    def columns(self, cell: Manifest, names: Iterable[str]) -> pa.Table:
        """Some columns of `records`, of those that are there; nothing else of the file is decoded.

        That of a curve holds lists.

        Raises:
            UserError: as `records`; the digest is of the whole file.
        """
        content, where = self._content(cell)
        with _decoding(where):
            file = pq.ParquetFile(pa.BufferReader(content))
            there = file.schema_arrow.names
            _check(cell, there, file.metadata.num_rows, where)
            wanted = [name for name in names if name in there]
            # Without a digest only what is decoded is known to be whole.
            return file.read(wanted if cell.layout >= LAYOUT else None, use_threads=False).select(wanted)

    def add(self, manifest: Manifest, records: Iterable[pa.Table], check: Callable[[], None]) -> None:
        """Write a finished cell, its `images` and digest with it; what was stored of it before goes once it is there.

        The file is the same however the records are cut into tables, and no more than `GROUP` of them are held.

        Args:
            manifest: with the run's generation.
            records: tables with the columns of `schema`, or more.
            check: is called when all is ready; what it raises keeps the cell out of the store.
        """
        columns = schema(manifest)
        buffer, waiting, images = pa.BufferOutputStream(), columns.empty_table(), 0
        with pq.ParquetWriter(buffer, columns) as writer:
            for table in records:
                images += len(table)
                waiting = pa.concat_tables([waiting, table.select(columns.names).cast(columns)])
                while len(waiting) >= GROUP:
                    writer.write_table(waiting.slice(0, GROUP).combine_chunks())
                    waiting = waiting.slice(GROUP)
            if len(waiting) or not images:
                writer.write_table(waiting.combine_chunks())
        content = buffer.getvalue().to_pybytes()
        told = {"images": images, "records": content_digest(content)}
        self._create(manifest.model_copy(update=told), content, check)

    def enter(self, manifest: Manifest) -> None:
        """Write that a cell is planned, or has failed. What is finished stays."""
        others = [name for name in self._of(manifest.key) if not generation_of(name)]
        entered = manifest.model_copy(update={"file": _file(manifest)})
        self.objects.replace(_manifest(entered), _text(entered))
        self._delete(name for name in others if name != _manifest(entered))

    def strike(self, cell: Manifest) -> None:
        """Remove what `enter` has written."""
        self._delete(name for name in self._of(cell.key) if not generation_of(name))

    def refresh(self, planned: Sequence[Manifest]) -> None:
        """Bring what is stored up to date with what is no part of a cell's identity.

        A variant, or the images that it is tested on, may have another name by now, in all cells that it has part in;
        and of the planned cells, the ledger may know more, and the dataset's copy may have grown. Cells of layout 2
        get digests, and the file names of today.
        """
        by_key = {manifest.key: manifest for manifest in planned}
        called = {_part(manifest, kind): manifest for manifest in planned for kind in manifest.names}
        for stored in self._read(self._names())[0]:
            if stored.layout < LAYOUT - 1:
                continue
            marks = {key: getattr(by_key.get(stored.key, stored), key) for key in _MARKS}
            update: dict[str, Any] = {**marks, "names": dict(stored.names)}
            for kind in stored.names:
                named = called.get(_part(stored, kind), stored)
                update[kind] = getattr(named, kind)
                update["names"][kind] = named.names[kind]
            renewed = stored.model_copy(update=update)
            if stored.layout < LAYOUT:
                self._bring_forward(stored, renewed)
            elif renewed != stored:
                self.objects.replace(_manifest(renewed), _text(renewed))

    def tidy(self) -> None:
        """Remove what a finished cell has replaced, where the process that finished it was killed before it could."""
        names: dict[str, list[str]] = defaultdict(list)
        for name in self._names():
            if name.endswith(".json"):
                names[_key_of(name)].append(name)
        for several in names.values():
            if len(several) > 1:
                self._tidy(self._read(several)[0])

    def _tidy(self, manifests: Sequence[Manifest]) -> None:
        for key in {manifest.key for manifest in manifests}:
            cell = [manifest for manifest in manifests if manifest.key == key]
            kept = {manifest.file for manifest in _current(cell)}
            if any(manifest.status == "done" for manifest in cell):
                self._drop(manifest.file for manifest in cell if manifest.file not in kept)

    def remove(self, name: str) -> None:
        """Remove a manifest, whole or damaged, and its records.

        Args:
            name: its file's, without the suffix.
        """
        self._drop([name])

    def _create(self, manifest: Manifest, content: bytes, check: Callable[[], None]) -> None:
        generation = manifest.generation
        while True:
            file = f"{_file(manifest)}.{generation}"
            manifest = manifest.model_copy(update={"generation": generation, "file": file, "layout": LAYOUT})
            # A name that is taken is that of a process which was stopped, or of another run's.
            generation += 1
            if not self.objects.create(_records(manifest), content):
                continue
            written = False
            try:
                check()
                written = self.objects.create(_manifest(manifest), _text(manifest))
            finally:
                if not written:
                    self.objects.delete(_records(manifest))
            if written:
                break
        before = [stem(name) for name in self._of(manifest.key) if generation_of(name) < manifest.generation]
        self._drop(dict.fromkeys(before))

    def _bring_forward(self, stored: Manifest, renewed: Manifest) -> None:
        """From layout 2."""
        if stored.status != "done":
            self.enter(renewed.model_copy(update={"layout": LAYOUT}))
            return
        try:
            self.records(stored)
        except UserError as error:
            self.warn(error)
            return
        content, _ = self._content(stored)
        self._create(renewed.model_copy(update={"records": content_digest(content)}), content, lambda: None)
        self._drop([stored.file])

    def _whole(self, stored: Sequence[Manifest], least: int) -> Manifest | None:
        for one in sorted(stored, key=lambda manifest: -manifest.generation):
            if one.status == "done" and one.generation >= least and one.layout >= LAYOUT - 1:
                try:
                    # With a digest there is no need to look into it.
                    self._content(one) if one.layout >= LAYOUT else self.records(one)
                except UserError as error:
                    self.warn(error)
                    continue
                return one
        return None

    def _content(self, cell: Manifest) -> tuple[bytes, str]:
        where = f"{self.objects.address}/{_records(cell)}"
        try:
            content = self.objects.read(_records(cell))
        except FileNotFoundError:
            raise _damaged("no such file", where) from None
        # Earlier versions wrote no digest.
        if cell.layout >= LAYOUT and content_digest(content) != cell.records:
            raise _damaged("they are not what was written, their digest differs", where)
        return content, where

    def _names(self) -> list[str]:
        return sorted(self.objects.tree(FOLDER), key=lambda name: name.rpartition("/")[2])

    def _of(self, key: str) -> list[str]:
        """The names of a cell's files."""
        names = [*self.objects.names(f"{FOLDER}/"), *self.objects.names(f"{FOLDER}/{_part_of(key)}/")]
        return [name for name in names if _key_of(name) == short(key)]

    def _read(self, names: Iterable[str]) -> tuple[list[Manifest], dict[str, UserError]]:
        return self._manifests.read(name for name in names if name.endswith(".json"))

    def _delete(self, names: Iterable[str]) -> None:
        for name in names:
            self.objects.delete(name)

    def _drop(self, files: Iterable[str]) -> None:
        """Manifest first: records alone are nobody's."""
        for file in files:
            self._delete([f"{FOLDER}/{file}.json", f"{FOLDER}/{file}.parquet"])


GROUP = 16384
"""Records of a row group of their file."""

FOLDER = "cells"

_REPORTED = [name for name in RECORD_COLUMNS if name == BASE_SECONDS.key or not name.startswith(BASE)]
"""The columns of the records that a report cannot do without."""

_MARKS = ("contaminated", "contaminated_by", "complete", "largest")


def schema(manifest: Manifest) -> pa.Schema:
    """The columns of a cell's records: `bench.metrics.columns.RECORD_COLUMNS` and those of its plugged-in metrics."""
    built_in = [pa.field(name, _TYPES[dtype]) for name, dtype in RECORD_COLUMNS.items()]
    curves = pa.list_(pa.float64())
    plugged_in = [pa.field(name, curves if metric.curve else pa.float64()) for name, metric in manifest.metrics.items()]
    return pa.schema([*built_in, *plugged_in])


_TYPES = {"str": pa.string(), "float64": pa.float64(), "int64": pa.int64()}
"""By the dtypes of `bench.metrics.columns.RECORD_COLUMNS`."""


def as_table(manifest: Manifest, records: pd.DataFrame) -> pa.Table:
    """Records with the columns of `schema`; further ones that are bool are kept.

    Raises:
        KeyError: a column is missing.
    """
    wanted = schema(manifest)
    more = [name for name in records.columns if name not in wanted.names and records[name].dtype == bool]
    whole = pa.schema([*wanted, *(pa.field(name, pa.bool_()) for name in more)])
    return pa.Table.from_pandas(records[whole.names], schema=whole, preserve_index=False).replace_schema_metadata()


def generation_of(name: str) -> int:
    """That of an object's name; 0 for an unfinished cell's."""
    found = _NAME.fullmatch(name)
    return int(found["generation"] or 0) if found else 0


def _current(cell: Sequence[Manifest]) -> list[Manifest]:
    """Of the manifests of one cell those that count: the last finished one, and that of a later run that failed."""
    done = max((one for one in cell if one.status == "done"), key=lambda one: one.generation, default=None)
    other = max((one for one in cell if one.status != "done"), key=lambda one: one.generation, default=None)
    if done is not None and other is not None and (other.status == "planned" or other.generation <= done.generation):
        other = None
    return [one for one in (done, other) if one is not None]


def _key_of(name: str) -> str:
    found = _NAME.fullmatch(name)
    return found["key"] if found else ""


def _part_of(key: str) -> str:
    return key[:2]


def _file(manifest: Manifest) -> str:
    return f"{_part_of(manifest.key)}/{manifest.stem}"


def _manifest(cell: Manifest) -> str:
    return f"{FOLDER}/{cell.file}.json"


def _records(cell: Manifest) -> str:
    return f"{FOLDER}/{cell.file}.parquet"


def _text(manifest: Manifest) -> bytes:
    return sealed(manifest.model_dump(), indent=2).encode()


def _damaged(problem: str, where: str) -> UserError:
    return UserError(f"damaged records, {problem}", where, f"run the cell again, or say '{REPAIR}'")


@contextmanager
def _decoding(where: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise _damaged(str(error).splitlines()[0], where) from None


def _check(cell: Manifest, columns: Iterable[str], rows: int, where: str) -> None:
    missing = {*_REPORTED, *cell.metrics}.difference(columns)
    if missing:
        first = next(name for name in (*_REPORTED, *cell.metrics) if name in missing)
        raise _damaged(f"without the column {first}", where)
    if rows != cell.images:
        raise _damaged(f"{rows} rows for {cell.images} images", where)


def _part(manifest: Manifest, kind: str) -> str:
    """What a name stands for: of a dataset, the plug-in and the images that are tested on."""
    tested_on = manifest.identity["test"] if kind == "dataset" else ""
    return json.dumps([kind, manifest.variant(kind), tested_on], sort_keys=True, default=str)
