"""Cache of base probability maps: computed once per base, read by every refiner.

Maps are kept as uint16 (error <= 1/131070) in shards, and memory-mapped one at a time: memory use does not
grow with their number. ``NNNN.u16`` holds a shard's maps end to end, ``NNNN.json`` says which and where; the JSON
is written last, so a shard without one does not count and an interrupted prediction goes on where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.contracts import Dataset, ProbabilityMap, Sample, read_only
from bench.images import from_uint16, to_uint16
from bench.runtime.files import replacing

SHARD_MAPS, SHARD_PIXELS = 64, 2**25


@dataclass(frozen=True)
class _Place:
    shard: int
    offset: int
    shape: tuple[int, int]
    cost: dict[str, float | None]


class MapCache:
    """The maps of one base on one split.

    Args:
        folder: where the shards lie; made on the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._places: dict[str, _Place] = {}
        self._shards = 0
        self._waiting: list[tuple[str, np.ndarray, dict[str, float | None]]] = []
        for index in sorted(folder.glob("[0-9]*.json")):
            self._read(index)

    def missing(self, ids: Sequence[str]) -> list[str]:
        """Those of ``ids`` that have no map yet, in their order."""
        return [sample_id for sample_id in ids if sample_id not in self._places]

    def __getitem__(self, sample_id: str) -> ProbabilityMap:
        """float32 ``(H, W)``, read-only."""
        place = self._places[sample_id]
        codes = np.memmap(self._path(place.shard, "u16"), np.uint16, "r", offset=place.offset, shape=place.shape)
        return read_only(from_uint16(codes))

    def cost(self, sample_id: str) -> dict[str, float | None]:
        """What the base spent on this map, as it was given to `add`."""
        return self._places[sample_id].cost

    def add(self, sample_id: str, probs: ProbabilityMap, cost: dict[str, float | None]) -> None:
        """Take a map in; it is on disk once its shard is full or `flush` was called."""
        self._waiting.append((sample_id, to_uint16(probs), cost))
        if len(self._waiting) >= SHARD_MAPS or sum(codes.size for _, codes, _ in self._waiting) >= SHARD_PIXELS:
            self.flush()

    def flush(self) -> None:
        """Write the maps that wait as one shard: the data first, then its index."""
        if not self._waiting:
            return
        entries: list[dict[str, Any]] = []
        with replacing(self._path(self._shards, "u16")) as path, path.open("wb") as stream:
            for sample_id, codes, cost in self._waiting:
                entries.append({"id": sample_id, "offset": stream.tell(), "shape": codes.shape, "cost": cost})
                stream.write(codes.tobytes())
        index = self._path(self._shards, "json")
        with replacing(index) as path:
            path.write_text(json.dumps(entries))
        self._waiting = []
        self._read(index)

    def _read(self, index: Path) -> None:
        shard = int(index.stem)
        for entry in json.loads(index.read_text()):
            self._places[entry["id"]] = _Place(shard, entry["offset"], tuple(entry["shape"]), entry["cost"])
        self._shards = max(self._shards, shard + 1)

    def _path(self, shard: int, suffix: str) -> Path:
        return self.folder / f"{shard:04d}.{suffix}"


class MapSplit:
    """A split with its maps: `bench.contracts.MapDataset`."""

    def __init__(self, samples: Dataset, maps: MapCache) -> None:
        self.samples, self.maps = samples, maps

    @property
    def ids(self) -> Sequence[str]:
        return self.samples.ids

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int, /) -> tuple[Sample, ProbabilityMap]:
        sample = self.samples[index]
        return sample, self.maps[sample.id]
