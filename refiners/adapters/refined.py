"""Refined maps on disk: what another tool made of a base's maps."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from pathlib import Path

from bench.contracts import GoesByName, Image, ProbabilityMap
from bench.images.map_folder import MapFolder, Missing


class Refined(GoesByName):
    """A folder of maps that another tool refined, 8/16-bit PNG or NPY, named by sample id.

    The maps are read as those of the base ``maps`` are, test images' alone. They have to be of the base's maps that
    they are compared with: a folder is of one base, and a run of several is refused. What they cost was spent elsewhere
    and is not known: a report has n/a there.

    Args:
        path: the folder, see `bench.runtime.names`; all files in it are part of the identity. In it ``{dataset}``,
            ``{base}`` and ``{seed}`` stand for those of the cell, as tables write them: ``my/{base}``.
        scale: the value that stands for probability 1; None finds out, see `bench.images.maps`.
        missing: what a test image without a map means: ``error``; or ``drop`` the image from this row, and from the
            gains over the base, which the row's footnote tells. The base's own map never takes its place.
        map_pattern: of the maps' names, with one ``*`` for the part that is the sample's id: ``*_refined``.
        resize: resize a map of another size to its image's: by area averaging where its number of pixels falls, else
            bilinear.

    Raises:
        UserError: see `covered`; or a map is unreadable or of another size than its image.
    """

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
        self._folder = MapFolder(path, "refined", scale, missing, map_pattern, resize)

    def reading(self) -> str:
        """What the maps were taken for. Raises UserError as `bench.images.MapFiles.said`."""
        return f"refined maps: {self._folder.said()}"

    def covered(self, ids: Sequence[str]) -> list[str]:
        """Those of ``ids`` with a map. Raises UserError as `MapFolder.covered`, or `reading`."""
        found = self._folder.covered(ids, "refined map")
        self._folder.said()
        return found

    def of_samples(self, ids: Sequence[str]) -> tuple[Refined, Sequence[Path]]:
        """See `bench.contracts.OfSamples`."""
        part = copy(self)
        part._folder, files = self._folder.of_samples(ids)
        return part, files

    def refine_named(
        self, ids: Sequence[str], images: Sequence[Image], maps: Sequence[ProbabilityMap]
    ) -> list[ProbabilityMap]:
        """See `bench.contracts.GoesByName`."""
        return [
            self._folder.read(sample_id, (probs.shape[0], probs.shape[1]))
            for sample_id, probs in zip(ids, maps, strict=True)
        ]
