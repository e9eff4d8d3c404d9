"""A folder of maps, named by sample ids: what another program wrote, for a base or a refiner that has maps alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from bench.contracts import ProbabilityMap, UserError
from bench.images.maps import MAP_SUFFIXES, MapFiles
from bench.images.resizing import check_map_size, resize
from bench.images.sampling import sample
from bench.runtime.names import Side, canonical, likely, side

Missing = Literal["error", "drop"]


@dataclass
class MapFolder:
    """The maps of a folder, 8/16-bit PNG or NPY, named by sample id (``class/3.png`` for few-shot sets).

    Args:
        path: the folder, see `bench.runtime.names`.
        who: the plug-in that has it, for errors: ``maps``.
        scale: the value that stands for probability 1; None finds out, see `bench.images.maps`.
        missing: what a sample without a map means: ``error``, or ``drop`` the sample.
        map_pattern: of the maps' names, with one ``*`` for the part that is the sample's id: ``*_pred``.
        resize: resize a map of another size to its image's: by area averaging where its number of pixels falls, else
            bilinear.

    Raises:
        UserError: a scale that is not above zero.
    """

    path: Path
    who: str
    scale: float | None = None
    missing: Missing = "error"
    map_pattern: str = ""
    resize: bool = False

    def __post_init__(self) -> None:
        if self.scale is not None and not self.scale > 0:
            fix = "give the value that stands for probability 1"
            raise UserError(f"scale={self.scale:g}", f"{self.who}[scale=...]", fix)

    @cached_property
    def _side(self) -> Side:
        # Listed when it is needed: a plug-in is also made to ask for its properties, and the folder may still grow.
        return side(self.path, MAP_SUFFIXES, "maps", f"{self.who}[path=...]", "map_pattern=", self.map_pattern)

    @cached_property
    def _maps(self) -> MapFiles:
        return MapFiles([*self._side.files.values()], self.scale)

    def said(self) -> str:
        """What the maps were taken for. Raises UserError as `bench.images.MapFiles.said`."""
        return self._maps.said()

    def of_samples(self, ids: Sequence[str]) -> tuple[MapFolder, list[Path]]:
        """See `bench.contracts.OfSamples`."""
        known = {canonical(sample_id): self._side.files.get(canonical(sample_id)) for sample_id in ids}
        files = {id_: path for id_, path in known.items() if path is not None}
        part = replace(self)
        part.__dict__["_side"] = replace(self._side, files=files)
        part.__dict__["_maps"] = self._maps
        # How all are coded is told by a sample of them.
        return part, [*dict.fromkeys([*files.values(), *sample(self._maps.files)])]

    def covered(self, ids: Sequence[str], noun: str = "map") -> list[str]:
        """Those of ``ids`` with a map.

        Args:
            noun: what the others lack, for errors.

        Raises:
            UserError: with the number and first names of those without; or, whatever `missing` says, with the pattern
                that more names are of; or the folder has no maps.
        """
        self.__dict__.pop("_side", None)
        absent = [sample_id for sample_id in ids if canonical(sample_id) not in self._side.files]
        if not absent:
            return list(ids)
        named = ", ".join(absent[:3]) + (", ..." if len(absent) > 3 else "")
        said = f"{len(absent)} of {len(ids)} samples have no {noun}: {named}"
        patterns = likely([canonical(sample_id) for sample_id in ids], self._side.files, second_only=True)
        if patterns is not None:
            pattern = self.map_pattern.replace("*", patterns[1]) or patterns[1]
            raise UserError(said, self.path, f"say {self.who}[path=...,{self._side.having(pattern)}]")
        if self.missing == "error":
            raise UserError(said, self.path, f"add them, or keep the rest with {self.who}[missing=drop]")
        gone = set(absent)
        return [sample_id for sample_id in ids if sample_id not in gone]

    def read(self, sample_id: str, shape: tuple[int, int]) -> ProbabilityMap:
        """A sample's map: float32 of ``shape``, which is its image's, in [0, 1].

        Raises:
            UserError: there is none; it is unreadable, or of another size.
        """
        id_ = canonical(sample_id)
        if id_ not in self._side.files:
            del self._side
        file = self._side.files.get(id_)
        if file is None:
            raise UserError("no map", self.path / sample_id, f"add it, or use {self.who}[missing=drop]")
        if self.resize:
            return resize(self._maps.read(file), *shape)
        say = f"{self.who}[path=...,resize=true]"
        return self._maps.read(file, lambda size: check_map_size(size, shape, file, whose="image", say=say))
