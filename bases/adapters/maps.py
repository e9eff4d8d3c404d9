"""Maps on disk: any method's outputs, without its model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

from bench.contracts import BaseNetwork, ProbabilityMap, Sample, UserError
from bench.images import MAP_SUFFIXES, MapFiles, check_map_size, resize
from bench.runtime.names import Side, canonical, likely, side


class Maps(BaseNetwork):
    """A folder of probability maps, 8/16-bit PNG or NPY, named by sample id (``class/3.png`` for few-shot sets).

    Args:
        path: the folder, see `bench.runtime.names`.
        scale: the value that stands for probability 1; None finds out, see `bench.images.maps`.
        missing: what a sample of val or test without a map means: ``error``, or ``drop`` the sample.
        map_pattern: of the maps' names, with one ``*`` for the part that is the sample's id: ``*_pred``.
        resize: resize a map of another size to its image's: by area averaging where its number of pixels falls, else
            bilinear.

    Raises:
        UserError: see `covered`; or a map is unreadable or of another size than its image.
    """

    version = 2

    def __init__(
        self,
        *,
        path: Path,
        scale: float | None = None,
        missing: Literal["error", "drop"] = "error",
        map_pattern: str = "",
        resize: bool = False,
    ) -> None:
        if scale is not None and not scale > 0:
            raise UserError(f"scale={scale:g}", "maps[scale=...]", "give the value that stands for probability 1")
        self.path, self.scale, self.missing = path, scale, missing
        self.map_pattern, self.resize = map_pattern, resize

    @cached_property
    def _side(self) -> Side:
        # Listed when it is needed: a base is also made to ask for its properties, and the folder may still grow.
        return side(self.path, MAP_SUFFIXES, "maps", "maps[path=...]", "map_pattern=", self.map_pattern)

    @cached_property
    def _maps(self) -> MapFiles:
        return MapFiles([*self._side.files.values()], self.scale)

    def reading(self) -> str:
        """What the maps were taken for. Raises UserError as `bench.images.MapFiles.said`."""
        return f"maps: {self._maps.said()}"

    def covered(self, ids: Sequence[str]) -> list[str]:
        """Those of ``ids`` with a map.

        Raises:
            UserError: with the number and first names of those without; or, whatever `missing` says, with the pattern
                that more names are of; or the folder has no maps.
        """
        self.__dict__.pop("_side", None)
        absent = [sample_id for sample_id in ids if canonical(sample_id) not in self._side.files]
        if not absent:
            return list(ids)
        named = ", ".join(absent[:3]) + (", ..." if len(absent) > 3 else "")
        said = f"{len(absent)} of {len(ids)} samples have no map: {named}"
        patterns = likely([canonical(sample_id) for sample_id in ids], self._side.files, second_only=True)
        if patterns is not None:
            pattern = self.map_pattern.replace("*", patterns[1]) or patterns[1]
            raise UserError(said, self.path, f"say maps[path=...,{self._side.having(pattern)}]")
        if self.missing == "error":
            raise UserError(said, self.path, "add them, or keep the rest with maps[missing=drop]")
        gone = set(absent)
        return [sample_id for sample_id in ids if sample_id not in gone]

    def predict(self, samples: Sequence[Sample]) -> list[ProbabilityMap]:
        """See `bench.contracts.BaseNetwork`."""
        return [self._read(sample) for sample in samples]

    def _read(self, sample: Sample) -> ProbabilityMap:
        id_ = canonical(sample.id)
        if id_ not in self._side.files:
            del self._side
        file = self._side.files.get(id_)
        if file is None:
            raise UserError("no map", self.path / sample.id, "add it, or use maps[missing=drop]")
        height, width = sample.image.shape[:2]
        if self.resize:
            return resize(self._maps.read(file), height, width)
        say = "maps[path=...,resize=true]"
        return self._maps.read(file, lambda size: check_map_size(size, (height, width), file, whose="image", say=say))
