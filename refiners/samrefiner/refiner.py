"""`SamRefiner`: prompts from the map, masks from a Segment-Anything model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from bench.contracts import DECISION, Budget, Image, Mask, ProbabilityMap, Refiner, SearchSpace, Span, UserError
from bench.refiners.samrefiner.prompts import prompts_for, regions
from bench.training.hub import ModelId

if TYPE_CHECKING:
    from bench.refiners.samrefiner.model import Scene, Segmenter

SIMILAR = 0.5
"""Cosine of features above which the elastic box takes a pixel for part of the region (the authors' number)."""

UNSURE = 1.0
"""Strength of the mask prompt once the box has outgrown the mask (the authors' number): the mask misses something."""


class SamRefiner(Refiner):
    """A Segment-Anything model prompted with the map's points, boxes and masks (SAMRefiner, Lin et al., ICLR 2025).

    The map's mask is split into connected regions, those that lie like one object are merged, and the model is asked
    about each: with distance-guided points, an elastic box and a Gaussian-style mask, see
    `bench.refiners.samrefiner.prompts`. Of its three masks one is kept, and becomes the coarse mask of the next round.
    The result is the highest probability of all regions; regions that were not asked about, or to which the model
    answered with nothing, keep the map's values. A map without foreground stays as it is, as does one so narrow that
    the model's square (1024 pixels a side) would hold nothing of it. Defaults are those of the authors' code;
    SAMRefiner++, which tunes the model's IoU head, is not included.

    Models: any that transformers loads as `SamModel` (SAM ViT-B/L/H, SlimSAM, MedSAM, your own), not SAM-HQ or SAM 2.
    SAM itself was trained on SA-1B, which none of our test images comes from. What others fine-tuned a model on
    cannot be told from its files: MedSAM, for one, has seen public polyp sets.

    Args:
        model: a folder (``save_pretrained``'s: config.json, model.safetensors), or a name on the Hugging Face hub.
        revision: of a name on the hub: a branch, tag or commit. Only a commit stays what it is.
        points: positive points a region, at most.
        negatives: negative points a region, at most; 0 for none.
        margin: share of look-alike pixels above which a side of the box moves outwards; 0 keeps the box tight.
        gamma: how fast the mask prompt fades towards the region's edge.
        strength: of the mask prompt, a logit.
        rounds: how often a region is asked about, at most; a mask that comes back unchanged ends it.
        select: of the three masks, the one that the model believes best (``predicted``, the authors'), or that has
            the highest IoU with the region it was asked about at first (``coarse``).
        regions: only so many are asked about, the largest.

    Raises:
        UserError: a number is out of range; at the first `refine`, the model cannot be had or is of another kind.
    """

    requires = ("transformers",)
    extra = "huggingface"
    trained_on: tuple[str, ...] = ()
    search_space: ClassVar[SearchSpace] = {
        "points": Span(1, 3),
        "negatives": Span(0, 3),
        "margin": Span(0.0, 0.5),
        "gamma": Span(0.5, 16.0, log=True),
        "strength": Span(1.0, 60.0, log=True),
        "rounds": Span(1, 5),
        "select": ("predicted", "coarse"),
    }
    cost: ClassVar[Budget] = Budget(seconds=45, memory_mb=4800)

    def __init__(
        self,
        *,
        model: ModelId = "facebook/sam-vit-base",
        revision: str = "main",
        points: int = 1,
        negatives: int = 1,
        margin: float = 0.0,
        gamma: float = 4.0,
        strength: float = 30.0,
        rounds: int = 5,
        select: Literal["predicted", "coarse"] = "predicted",
        regions: int = 10,
        device: str = "cpu",
    ) -> None:
        least = {"points": (points, 1), "negatives": (negatives, 0), "rounds": (rounds, 1), "regions": (regions, 1)}
        for name, (value, low) in least.items():
            if value < low:
                raise UserError(f"{name}={value}", "samrefiner", f"give {low} or more")
        for name, number in (("gamma", gamma), ("strength", strength)):
            if not number > 0:
                raise UserError(f"{name}={number}", "samrefiner", "give a number above 0")
        if not 0 <= margin < 1:
            raise UserError(f"margin={margin}", "samrefiner", "give a share from 0 to below 1")
        self.model, self.revision, self.device = str(model), revision, device
        self.points, self.negatives, self.margin, self.gamma = points, negatives, margin, gamma
        self.strength, self.rounds, self.select, self.regions = strength, rounds, select, regions

    def __getstate__(self) -> dict[str, Any]:
        """Without the model: another process loads it itself, which is quicker, and gives the same bits."""
        return {name: value for name, value in self.__dict__.items() if name != "_segmenter"}

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """See `bench.contracts.Refiner`."""
        return [self._refine(image, probs) for image, probs in zip(images, maps, strict=True)]

    def _refine(self, image: Image, probs: ProbabilityMap) -> ProbabilityMap:
        coarse = probs >= DECISION
        found = regions(coarse, self.regions)
        if not found or not self._segmenter.holds(probs.shape):
            return probs.copy()
        scene = self._segmenter.look(image)
        refined, asked = np.zeros_like(probs), np.zeros_like(coarse)
        for region in found:
            logits = self._answer(scene, region)
            if logits is not None:
                np.maximum(refined, _sigmoid(logits), out=refined)
                asked |= region
        if not asked.any():
            return probs.copy()
        return np.maximum(refined, np.where(coarse & ~asked, probs, 0))

    def _answer(self, scene: Scene, region: Mask) -> NDArray[np.float32] | None:
        """Logits ``(H, W)`` of the last round whose mask has foreground; None where the first has none."""
        mask, best = region, None
        for _ in range(self.rounds):
            logits = self._ask(scene, mask, region)
            answer = logits >= 0
            if not answer.any():
                break
            unchanged = np.array_equal(answer, mask)
            mask, best = answer, logits
            if unchanged:  # the same question would be asked again
                break
        return best

    def _ask(self, scene: Scene, mask: Mask, coarse: Mask) -> NDArray[np.float32]:
        similar = self._segmenter.similar(scene, mask, SIMILAR) if self.margin > 0 else None
        prompts = prompts_for(
            mask,
            points=self.points,
            negatives=self.negatives,
            gamma=self.gamma,
            margin=self.margin,
            similar=similar,
        )
        logits, scores = self._segmenter.ask(scene, prompts, UNSURE if prompts.elastic else self.strength)
        if self.select == "coarse":
            masks = logits >= 0
            scores = (masks & coarse).sum(axis=(1, 2)) / (masks | coarse).sum(axis=(1, 2))
        return logits[int(scores.argmax())]

    @cached_property
    def _segmenter(self) -> Segmenter:
        from bench.refiners.samrefiner.model import Segmenter

        return Segmenter(self.model, self.revision, self.device)


def _sigmoid(logits: NDArray[np.float32]) -> ProbabilityMap:
    from scipy.special import expit

    return expit(logits).astype(np.float32)
