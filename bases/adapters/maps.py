"""Maps on disk: any method's outputs, without its model."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from pathlib import Path

from bench.contracts import BaseNetwork, ProbabilityMap, Sample
from bench.images.map_folder import MapFolder, Missing


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
        missing: Missing = "error",
        map_pattern: str = "",
        resize: bool = False,
    ) -> None:
        self.path = path
        self._folder = MapFolder(path, "maps", scale, missing, map_pattern, resize)

    def reading(self) -> str:
        """What the maps were taken for. Raises UserError as `bench.images.MapFiles.said`."""
        return f"maps: {self._folder.said()}"

    def covered(self, ids: Sequence[str]) -> list[str]:
        """Those of ``ids`` with a map. Raises UserError as `bench.images.map_folder.MapFolder.covered`."""
        return self._folder.covered(ids)

    def of_samples(self, ids: Sequence[str]) -> tuple[Maps, Sequence[Path]]:
        """See `bench.contracts.OfSamples`."""
        part = copy(self)
        part._folder, files = self._folder.of_samples(ids)
        return part, files

    def predict(self, samples: Sequence[Sample]) -> list[ProbabilityMap]:
        """See `bench.contracts.BaseNetwork`."""
        return [self._folder.read(sample.id, (sample.image.shape[0], sample.image.shape[1])) for sample in samples]
