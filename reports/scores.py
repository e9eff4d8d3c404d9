"""The numbers of finished cells, column by column, in bounded memory."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bench.contracts import UserError
from bench.metrics.columns import BASE_SECONDS, COSTS, COUNTS, IMAGE_METRICS
from bench.store import Manifest, Store

ROOM = 256 * 2**20
"""Bytes of numbers that stay in memory: those of two million images. What has no room is read again."""

_IDS = "id"
_SHOWN = (*(metric.key for metric in IMAGE_METRICS), *COUNTS, *(cost.key for cost in COSTS), BASE_SECONDS.key)
"""The columns that tables are made of, beside those of plugged-in metrics: a cell's are read at once."""

Numbers = NDArray[np.float64] | NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Scores:
    """What one finished cell has of each image; ``scores["iou"]`` is ``(N,)``, of a curve ``(N, L)``.

    Attributes:
        cell: whose they are.
        images: ``(N,)`` ids; cells of the same images in the same order have the same object.
    """

    cell: Manifest
    images: pd.Index[str]
    _shelf: Shelf = field(repr=False)

    def __getitem__(self, column: str) -> Numbers:
        """A column that it has: NaN is undefined, or not measured.

        Raises:
            UserError: it had no room in memory, and its file can no longer be read.
        """
        return self._shelf.column(self.cell, column)

    def of(self, images: pd.Index[str], column: str) -> Numbers:
        """A column of some of its images."""
        values = self[column]
        if images is self.images or images.equals(self.images):
            return values
        return values[self.images.get_indexer(images)]

    def frame(self) -> pd.DataFrame:
        """All that the store has of it. Raises UserError where it can no longer be read."""
        return self._shelf.store.records(self.cell)


def shared_images(cells: Iterable[Scores]) -> pd.Index[str]:
    """The images that all of them have, in the order of the first."""
    first, *others = (cell.images for cell in cells)
    for other in others:
        if other is not first:
            first = first.intersection(other, sort=False)
    return first


class Shelf:
    """Where `Scores` lie. A column of a file is decoded when it is first asked for, or again when it had to make room.

    Args:
        store: of the cells.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._images: dict[bytes, pd.Index[str]] = {}
        self._columns: OrderedDict[str, dict[str, Numbers]] = OrderedDict()
        self._bytes = 0

    def put(self, cell: Manifest) -> Scores:
        """Read a finished cell.

        Raises:
            UserError: its file is missing or damaged.
        """
        table = self.store.columns(cell, (_IDS, *_shown(cell)))
        self._keep(cell, table.drop_columns(_IDS))
        return Scores(cell, self._index(table[_IDS]), self)

    def column(self, cell: Manifest, name: str) -> Numbers:
        """See `Scores`."""
        kept = self._columns.get(cell.key)
        if kept is None or name not in kept:
            wanted = _shown(cell) if name in _shown(cell) else [name]
            try:
                self._keep(cell, self.store.columns(cell, wanted))
            except UserError as error:
                what = f"{error.what}: it was whole when it was first read"
                raise UserError(what, error.where, "say the same command again") from None
            kept = self._columns[cell.key]
        self._columns.move_to_end(cell.key)
        return kept[name]

    def _keep(self, cell: Manifest, table: pa.Table) -> None:
        found = {name: _numbers(cell, name, table[name]) for name in table.column_names}
        self._columns.setdefault(cell.key, {}).update(found)
        self._columns.move_to_end(cell.key)
        self._bytes += sum(column.nbytes for column in found.values())
        while self._bytes > ROOM and len(self._columns) > 1:
            _, gone = self._columns.popitem(last=False)
            self._bytes -= sum(column.nbytes for column in gone.values())

    def _index(self, ids: pa.ChunkedArray) -> pd.Index[str]:
        """The one object of these ids in this order."""
        digest = hashlib.blake2b(digest_size=16)
        for chunk in ids.chunks:
            for buffer in filter(None, chunk.buffers()):
                digest.update(buffer)
        # Chunks and offsets are part of it: other ones of the same ids make an object of their own, no wrong one.
        key = digest.digest()
        if key not in self._images:
            self._images[key] = pd.Index(ids.to_pandas(), name=_IDS)
        return self._images[key]


def _shown(cell: Manifest) -> list[str]:
    return [*_SHOWN, *(name for name, metric in cell.metrics.items() if metric.summary != "none")]


def _numbers(cell: Manifest, name: str, column: pa.ChunkedArray) -> Numbers:
    """``(N,)``, or ``(N, L)`` of lists. Raises UserError where these are not as long as the manifest says."""
    if pa.types.is_list(column.type):
        length = cell.metrics[name].curve
        if pc.list_value_length(column).unique().to_pylist() not in ([length], []):
            where, fix = cell.title, "run the cell again with --force"
            raise UserError(f"damaged records, {name} is no curve of {length} values", where, fix)
        flat = pa.chunked_array([chunk.flatten() for chunk in column.chunks], column.type.value_type)
        return flat.to_numpy().astype(np.float64, copy=False).reshape(len(column), length)
    if pa.types.is_null(column.type):  # what an earlier version did not measure
        return np.full(len(column), np.nan)
    values: Numbers = column.to_numpy()
    return values
