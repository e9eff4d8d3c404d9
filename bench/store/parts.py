"""Parts of the records of a cell that is computed in several stages, until all are there and the cell is put together.

``parts/KEY.START-STOP.GENERATION.DIGEST.parquet`` holds the records of the images from number START to before STOP. It
is created, never replaced, and checked by the digest in its name.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.parquet as pq

from bench.contracts import UserError
from bench.runtime.files import content_digest
from bench.store.objects import Objects

FOLDER = "parts"
_NAME = re.compile(r"parts/(?P<key>[^./]+)\.(?P<cut>\d+-\d+)\.(?P<generation>\d+)\.(?P<digest>[0-9a-f]{32})\.parquet")


@dataclass(frozen=True)
class Parts:
    """Those of one cell, as they are when it is asked first.

    Attributes:
        key: the cell's.
        least: the generation that they must have.
        warn: is told of a damaged one, which is removed.
    """

    objects: Objects
    key: str
    least: int
    warn: Callable[[UserError], None]

    def has(self, start: int, stop: int) -> bool:
        """Whether the records of these images are there, whole."""
        return self._whole(start, stop) is not None

    def add(
        self,
        start: int,
        stop: int,
        records: pa.Table,
        about: Mapping[str, str],
        generation: int,
        check: Callable[[], None],
    ) -> None:
        """Put the records of these images into the store.

        Args:
            about: what is to be known of how they were made.
            check: is called when all is ready; what it raises keeps them out of the store.
        """
        buffer = pa.BufferOutputStream()
        told = {key.encode(): value.encode() for key, value in about.items()}
        pq.write_table(records.replace_schema_metadata(told), buffer)
        content = buffer.getvalue().to_pybytes()
        check()
        name = f"{self._named}{start}-{stop}.{generation}.{content_digest(content)}.parquet"
        self.objects.create(name, content)

    def read(self, start: int, stop: int, columns: list[str] | None = None) -> tuple[pa.Table, dict[str, str]]:
        """The records of these images, and what was told about them.

        Raises:
            UserError: they are gone or damaged.
        """
        content = self._whole(start, stop)
        if content is None:
            what = f"the records of the images {start + 1} to {stop} are gone or damaged"
            fix = "run the same command again, which computes them again"
            raise UserError(what, f"{self.objects.address}/{FOLDER}", fix)
        table = pq.read_table(pa.BufferReader(content), columns=columns)
        told: dict[bytes, bytes] = table.schema.metadata or {}
        return table, {key.decode(): value.decode() for key, value in told.items()}

    def clear(self, generation: int | None = None) -> None:
        """Remove them; those of later generations stay."""
        for name in self.objects.names(self._named):
            found = _NAME.fullmatch(name)
            if found is None or generation is None or int(found["generation"]) <= generation:
                self.objects.delete(name)

    @property
    def _named(self) -> str:
        return f"{FOLDER}/{self.key}."

    @cached_property
    def _there(self) -> dict[str, list[re.Match[str]]]:
        """By cut. Listed once: to list the folder for each of them would take the square of their number."""
        found: dict[str, list[re.Match[str]]] = defaultdict(list)
        for name in self.objects.names(self._named):
            if named := _NAME.fullmatch(name):
                found[named["cut"]].append(named)
        return found

    def _whole(self, start: int, stop: int) -> bytes | None:
        for found in self._there.get(f"{start}-{stop}", ()):
            name = found[0]
            if int(found["generation"]) < self.least:
                continue
            try:
                content = self.objects.read(name)
            except FileNotFoundError:
                continue  # the cell was put together just now
            if content_digest(content) == found["digest"]:
                return content
            where = f"{self.objects.address}/{name}"
            self.warn(UserError("damaged records, their digest differs", where, "they are computed again"))
            self.objects.delete(name)
        return None


def cuts(objects: Objects) -> dict[str, dict[tuple[int, int], int]]:
    """Of each cell that is computed in parts, by its key, the parts that are there, with their latest generations.

    None of them is looked into.
    """
    found: dict[str, dict[tuple[int, int], int]] = defaultdict(dict)
    for name in objects.names(f"{FOLDER}/"):
        if named := _NAME.fullmatch(name):
            start, stop = map(int, named["cut"].split("-"))
            known, generation = found[named["key"]], int(named["generation"])
            known[start, stop] = max(generation, known.get((start, stop), 0))
    return found
