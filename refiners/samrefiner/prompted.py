"""What refiners that ask a Segment-Anything model have in common: the model, and the walk over a map's regions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts import DECISION, Image, Mask, ProbabilityMap, Refiner
from bench.refiners.samrefiner.prompts import regions

if TYPE_CHECKING:
    from bench.refiners.samrefiner.model import Scene, Segmenter


class Prompted(Refiner):
    """A refiner that asks a model about each region of the map, and joins what it answers.

    Args:
        model: a folder, or a name on the hub; it is loaded at the first `refine`.
        revision: of a name on the hub.
        most: only so many regions are asked about, the largest.
        device: ``"cpu"`` or ``"cuda"``.
    """

    requires = ("transformers",)
    extra = "huggingface"

    def __init__(self, model: Path | str, revision: str, most: int, device: str) -> None:
        self.model, self.revision, self.regions, self.device = str(model), revision, most, device

    @cached_property
    def trained_on(self) -> tuple[str, ...]:
        """See `bench.contracts.PubliclyTrained`. Reads the model's config.json, from the hub where it is there."""
        from bench.refiners.samrefiner.loading import trained_on

        return trained_on(self.model, self.revision)

    def __getstate__(self) -> dict[str, Any]:
        """Without the model: another process loads it itself, which is quicker, and gives the same bits."""
        return {name: value for name, value in self.__dict__.items() if name != "_segmenter"}

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """See `bench.contracts.Refiner`."""
        return [self._refine(image, probs) for image, probs in zip(images, maps, strict=True)]

    @abstractmethod
    def _answer(self, scene: Scene, region: Mask, probs: ProbabilityMap) -> NDArray[np.float32] | None:
        """Logits ``(H, W)`` for one region of the map; None where the model finds nothing."""

    def _refine(self, image: Image, probs: ProbabilityMap) -> ProbabilityMap:
        coarse = probs >= DECISION
        found = regions(coarse, self.regions)
        if not found or not self._segmenter.holds(probs.shape):
            return probs.copy()
        scene = self._segmenter.look(image)
        refined, asked = np.zeros_like(probs), np.zeros_like(coarse)
        for region in found:
            logits = self._answer(scene, region, probs)
            if logits is not None:
                np.maximum(refined, _sigmoid(logits), out=refined)
                asked |= region
        if not asked.any():
            return probs.copy()
        return np.maximum(refined, np.where(coarse & ~asked, probs, 0))

    @cached_property
    def _segmenter(self) -> Segmenter:
        from bench.refiners.samrefiner.model import Segmenter

        return Segmenter(self.model, self.revision, self.device)


def _sigmoid(logits: NDArray[np.float32]) -> ProbabilityMap:
    from scipy.special import expit

    return expit(logits).astype(np.float32)
