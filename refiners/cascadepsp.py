"""CascadePSP (Cheng et al., CVPR 2020), by its authors' package."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.contracts import Image, MapDataset, ProbabilityMap, UserError

CACHE = Path.home() / ".segmentation-refinement" / "model"
MD5 = "7478d4a9c42ab52beb6d7e9683402fe0"
RELEASE = "https://github.com/hkchengrex/CascadePSP/releases/download/v1.0/model"


class CascadePsp:
    """The ``segmentation-refinement`` package's own `Refiner`, on the authors' weights.

    It binarises the map, so what the base was unsure of is lost on it. The weights saw MSRA-10K, DUTS (train and
    test), ECSSD and FSS-1000: on those sets its numbers are not clean.

    Args:
        weights: the authors' file; None looks for it in the package's cache folder, ``~/.segmentation-refinement``.
        L: longest side of the global step and side of the local step's crops, pixels.
        fast: the global step alone.

    Raises:
        UserError: the weights are absent, or their checksum is not that of the release.
    """

    requires = ("segmentation_refinement",)
    extra = "cascadepsp"
    version = 1
    trainable = False
    uses_ground_truth = False

    def __init__(
        self,
        *,
        weights: Path | None = None,
        L: int = 900,
        fast: bool = False,
        device: str = "cpu",
    ) -> None:
        self.weights = checked(weights or CACHE)
        self.L, self.fast, self.device = L, fast, device
        self._refiner: Any = None

    def fit(self, val: MapDataset, workdir: Path) -> None:
        """Nothing to learn."""

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """See `bench.contracts.Refiner`. Maps have 8 bits: the package returns 0..255, its decision being > 127."""
        if self._refiner is None:
            self._refiner = self._open()
        return [self._refine(image, probs) for image, probs in zip(images, maps, strict=True)]

    def _refine(self, image: Image, probs: ProbabilityMap) -> ProbabilityMap:
        mask = (probs >= 0.5).astype(np.uint8) * 255
        refined = self._refiner.refine(image, mask, fast=self.fast, L=self.L)
        return (refined / np.float32(255)).astype(np.float32)

    def _open(self) -> Any:
        import segmentation_refinement

        # The package looks for a file called "model" in a folder; a link gives it any file under that name.
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "model").symlink_to(self.weights.resolve())
            return segmentation_refinement.Refiner(self.device, model_folder=folder, download_and_check_model=False)


def checked(weights: Path) -> Path:
    """``weights``, once its checksum is known to be the release's. Raises UserError otherwise."""
    if not weights.is_file():
        raise UserError("CascadePSP's weights are not here", weights, f"download {RELEASE}, name it with weights=FILE")
    with weights.open("rb") as stream:
        found = hashlib.file_digest(stream, "md5").hexdigest()
    if found != MD5:
        raise UserError(f"not CascadePSP's released weights (md5 {found})", weights, f"download {RELEASE} again")
    return weights
