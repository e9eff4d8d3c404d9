"""Maps on disk: any method's outputs, without its model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

from bench.contracts import BaseNetwork, ProbabilityMap, Sample, UserError
from bench.images import MAP_SUFFIXES, MapFiles
from bench.runtime.progress import note


class Maps(BaseNetwork):
    """A folder of probability maps, 8/16-bit PNG or NPY, named by sample id (``class/3.png`` for few-shot sets).

    Args:
        path: the folder.
        scale: the value that stands for probability 1; None finds out, see `bench.images.maps`.
        missing: what a sample of val or test without a map means: ``error``, or ``drop`` the sample.

    Raises:
        UserError: see `covered`; or a map is unreadable or of another size than its image.
    """

    version = 2

    def __init__(self, *, path: Path, scale: float | None = None, missing: Literal["error", "drop"] = "error") -> None:
        if scale is not None and not scale > 0:
            raise UserError(f"scale={scale:g}", "maps[scale=...]", "give the value that stands for probability 1")
        self.path, self.scale, self.missing = path, scale, missing

    @cached_property
    def files(self) -> MapFiles:
        """All maps of the folder."""
        found = sorted(path for path in self.path.rglob("*") if path.suffix.lower() in MAP_SUFFIXES)
        return MapFiles([path for path in found if not path.name.startswith(".")], self.scale)

    def reading(self) -> str:
        """What the maps were taken for. Raises UserError as `bench.images.MapFiles.said`."""
        return f"maps: {self.files.said()}"

    def covered(self, ids: Sequence[str]) -> list[str]:
        """Those of ``ids`` with a map. Raises UserError with the number and first names of those without."""
        absent = [sample_id for sample_id in ids if self._file(sample_id) is None]
        if absent and self.missing == "error":
            named = ", ".join(absent[:3]) + (", ..." if len(absent) > 3 else "")
            fix = "add them, or keep the rest with maps[missing=drop]"
            raise UserError(f"{len(absent)} of {len(ids)} samples have no map: {named}", self.path, fix)
        if absent:
            note(f"{len(absent)} of {len(ids)} samples of val and test have no map in {self.path}; they are dropped")
        gone = set(absent)
        return [sample_id for sample_id in ids if sample_id not in gone]

    def predict(self, samples: Sequence[Sample]) -> list[ProbabilityMap]:
        """See `bench.contracts.BaseNetwork`."""
        return [self._read(sample) for sample in samples]

    def _read(self, sample: Sample) -> ProbabilityMap:
        file = self._file(sample.id)
        if file is None:
            raise UserError("no map", self.path / sample.id, "add it, or use maps[missing=drop]")
        probs, size = self.files.read(file), sample.image.shape[:2]
        if probs.shape != size:
            raise UserError(f"the map is {probs.shape}, its image {size}", file, "resize the map to the image")
        return probs

    def _file(self, sample_id: str) -> Path | None:
        candidates = (self.path / f"{sample_id}{suffix}" for suffix in MAP_SUFFIXES)
        return next((file for file in candidates if file.is_file()), None)
