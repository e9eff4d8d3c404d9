"""Cache of base probability maps: computed once per base, read by every refiner.

Maps are kept as uint16 (error <= 1/131070) in shards, and read one at a time: memory use does not grow with their
number. ``BBBB/NNNN.safetensors`` holds maps of images of block BBBB of the split, `BLOCK` to a block: who wants some
looks at their blocks alone. A shard is created whole and never replaced, so an interrupted prediction goes on where it
stopped. Its metadata tell which maps it holds, and of each its cost and its digest, which is checked whenever it is
read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from bench.contracts import ProbabilityMap, UserError, read_only
from bench.images import from_uint16, to_uint16
from bench.runtime.progress import note
from bench.store.objects import Objects

SHARD_MAPS, SHARD_PIXELS = 64, 2**25

BLOCK = 1024
"""Images of a split whose maps lie in one folder."""

EPISODES = "episodes.json"
"""Beside the shards, of few-shot sets."""

_INDEX = "maps"
"""The key of the metadata with the list of maps."""


@dataclass(frozen=True)
class _Place:
    shard: str
    tensor: str
    digest: str
    cost: dict[str, float | None]


class MapCache:
    """The maps of one base on one split.

    Args:
        objects: the store's.
        folder: the name of the folder where the shards lie.
        ids: the samples whose maps are asked for, as they follow one another in the split; None for all that are there,
            to read alone. Others are as if they were not there.
        start: the number of the first of them.
    """

    def __init__(self, objects: Objects, folder: str, ids: Sequence[str] | None = None, start: int = 0) -> None:
        self.objects, self.folder = objects, folder
        self._numbers = None if ids is None else {sample_id: start + place for place, sample_id in enumerate(ids)}
        self.damaged: list[str] = []
        """The shards that are not what was written; none of their maps count."""
        self._places: dict[str, _Place] = {}
        self._added: list[str] = []
        self._waiting: list[tuple[str, np.ndarray, dict[str, float | None]]] = []
        for name in self._shards():
            self._open(name)

    def missing(self, ids: Sequence[str]) -> list[str]:
        """Those of ``ids`` that have no map yet, in their order."""
        return [sample_id for sample_id in ids if sample_id not in self._places]

    def check(self) -> None:
        """Read all maps, and take out the shards that hold a damaged one."""
        for sample_id, place in list(self._places.items()):
            if place.shard not in self.damaged:
                try:
                    self._codes(sample_id, place)
                except UserError:
                    self.damaged.append(place.shard)
        self._places = {key: place for key, place in self._places.items() if place.shard not in self.damaged}

    def drop_damaged(self) -> None:
        """Remove the damaged shards from the store, so that their maps can be made anew."""
        for name in self.damaged:
            note(f"warning: damaged maps, they are predicted again: {self.objects.address}/{name}")
            self.objects.delete(name)
        self.damaged = []

    def discard(self) -> None:
        """Remove the shards that were added here."""
        for name in self._added:
            self.objects.delete(name)
        self._added, self._waiting = [], []

    def __getitem__(self, sample_id: str) -> ProbabilityMap:
        """float32 ``(H, W)``, read-only. Raises UserError where it is not what was written."""
        return read_only(from_uint16(self._codes(sample_id, self._place(sample_id))))

    def cost(self, sample_id: str) -> dict[str, float | None]:
        """What the base spent on this map, as it was given to `add`."""
        return self._place(sample_id).cost

    def add(self, sample_id: str, probs: ProbabilityMap, cost: dict[str, float | None]) -> None:
        """Take a map in, of one of ``ids``; it is in the store once its shard is full or `flush` was called."""
        if self._waiting and self._block(self._waiting[0][0]) != self._block(sample_id):
            self.flush()
        self._waiting.append((sample_id, to_uint16(probs), cost))
        if len(self._waiting) >= SHARD_MAPS or sum(codes.size for _, codes, _ in self._waiting) >= SHARD_PIXELS:
            self.flush()

    def flush(self) -> None:
        """Write the maps that wait as one shard."""
        if not self._waiting:
            return
        tensors = {f"{number:04d}": codes for number, (_, codes, _) in enumerate(self._waiting)}
        index = [
            {"id": sample_id, "tensor": tensor, "digest": _digest(sample_id, codes, cost), "cost": cost}
            for tensor, (sample_id, codes, cost) in zip(tensors, self._waiting, strict=True)
        ]
        content = save(tensors, {_INDEX: json.dumps(index)})
        folder = self._block(self._waiting[0][0])
        number = 1 + max((_number(name) for name in _shards(self.objects.names(f"{folder}/"))), default=-1)
        while not self.objects.create(f"{folder}/{number:04d}{SUFFIX}", content):
            number += 1
        self._waiting = []
        self._added.append(f"{folder}/{number:04d}{SUFFIX}")
        self._open(self._added[-1])

    def _place(self, sample_id: str) -> _Place:
        if sample_id not in self._places:
            # It was there when this stage was begun.
            what = f"the map of {sample_id} is gone or damaged"
            raise UserError(what, f"{self.objects.address}/{self.folder}", "run again, which predicts it again")
        return self._places[sample_id]

    def _shards(self) -> list[str]:
        if self._numbers is None:
            return _shards(self.objects.tree(self.folder))
        # Those of stores of before lie in no block.
        folders = [self.folder, *dict.fromkeys(map(self._block, self._numbers))]
        return [name for folder in folders for name in _shards(self.objects.names(f"{folder}/"))]

    def _block(self, sample_id: str) -> str:
        assert self._numbers is not None, "all that are there can be read alone"
        return f"{self.folder}/{self._numbers[sample_id] // BLOCK:04d}"

    def _open(self, name: str) -> None:
        try:
            with safe_open(self.objects.path(name), framework="np") as shard:
                for entry in json.loads((shard.metadata() or {})[_INDEX]):
                    if self._numbers is None or entry["id"] in self._numbers:
                        place = _Place(name, entry["tensor"], entry["digest"], entry["cost"])
                        self._places.setdefault(entry["id"], place)
        except FileNotFoundError:
            return  # dropped by another process just now
        except _DAMAGE:
            self.damaged.append(name)

    def _codes(self, sample_id: str, place: _Place) -> np.ndarray:
        try:
            with safe_open(self.objects.path(place.shard), framework="np") as shard:
                codes: np.ndarray = shard.get_tensor(place.tensor)
            if codes.dtype == np.uint16 and codes.ndim == 2 and _digest(sample_id, codes, place.cost) == place.digest:
                return codes
        except _DAMAGE:
            pass
        where = f"{self.objects.address}/{place.shard}"
        raise UserError(f"the map of {sample_id} is damaged", where, "run again, which predicts it again")


SUFFIX = ".safetensors"
_DAMAGE = (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError)
"""What a file raises that is not what was written."""


def _digest(sample_id: str, codes: np.ndarray, cost: dict[str, Any]) -> str:
    told = hashlib.blake2b(json.dumps([sample_id, codes.shape, cost]).encode(), digest_size=16)
    told.update(np.ascontiguousarray(codes))
    return told.hexdigest()


def _shards(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.endswith(SUFFIX)]


def _number(name: str) -> int:
    stem = name.rpartition("/")[2].removesuffix(SUFFIX)
    return int(stem) if stem.isdigit() else -1
