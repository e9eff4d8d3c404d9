"""`SamRefiner`: prompts from the map, masks from a Segment-Anything model."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Budget, Mask, ProbabilityMap, SearchSpace, Span, UserError
from bench.refiners.samrefiner.prompted import Prompted
from bench.refiners.samrefiner.prompts import Prompts, prompts_for
from bench.training.hub import ModelId

if TYPE_CHECKING:
    from bench.refiners.samrefiner.model import Question, Scene, Segmenter

SIMILAR = 0.5
"""Cosine of features above which the elastic box takes a pixel for part of the region (the authors' number)."""

UNSURE = 1.0
"""Strength of the mask prompt once the box has outgrown the mask (the authors' number): the mask misses something."""


class SamRefiner(Prompted):
    """A Segment-Anything model prompted with the map's points, boxes and masks (SAMRefiner, Lin et al., ICLR 2025).

    The map's mask is split into connected regions, those that lie like one object are merged, and the model is asked
    about each: with distance-guided points, an elastic box and a Gaussian-style mask, see
    `bench.refiners.samrefiner.prompts`. Of its three masks one is kept, and becomes the coarse mask of the next round.
    The result is the highest probability of all regions; regions that were not asked about, or to which the model
    answered with nothing, keep the map's values. A map without foreground stays as it is, as does one so narrow that
    the model's square (1024 pixels a side) would hold nothing of it. Defaults are those of the authors' code, which
    asks a SAM; SAMRefiner++, which tunes the model's IoU head, is not included.

    Models: any that transformers has for masks from prompts, by the ``model_type`` of its config.json: ``sam`` (SAM
    ViT-B/L/H, SlimSAM, MedSAM), ``sam_hq``, ``sam2``, ``sam3_tracker``, or your own of such a type.
    SAM itself was trained on SA-1B, which none of our test images comes from. HQ-SAM was trained on DUTS, ECSSD,
    MSRA-10K and FSS-1000 as well: cells of ``sam_hq`` on these are marked. What others fine-tuned a model on cannot be
    told from its files: MedSAM, for one, has seen public polyp sets.

    Args:
        model: a folder (``save_pretrained``'s: config.json, model.safetensors; preprocessor_config.json where the
            pixels are not normalised as is usual for its type), or a name on the Hugging Face hub.
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
        super().__init__(model, revision, regions, device)
        self.points, self.negatives, self.margin, self.gamma = points, negatives, margin, gamma
        self.strength, self.rounds, self.select = strength, rounds, select

    def _answer(self, scene: Scene, region: Mask, probs: ProbabilityMap) -> NDArray[np.float32] | None:
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
        strength = UNSURE if prompts.elastic else self.strength
        logits, scores = self._segmenter.ask(scene, question_of(self._segmenter, scene, prompts, strength))
        if self.select == "coarse":
            masks = logits >= 0
            scores = (masks & coarse).sum(axis=(1, 2)) / (masks | coarse).sum(axis=(1, 2))
        return logits[int(scores.argmax())]


def question_of(segmenter: Segmenter, scene: Scene, prompts: Prompts, strength: float) -> Question:
    """What the model is asked, of the paper's prompts.

    Args:
        strength: of the mask prompt, a logit: ``strength`` x weight on the region, ``-strength`` elsewhere.
    """
    from bench.refiners.samrefiner.model import Question

    sign = segmenter.on_square(prompts.sign, scene, fill=-1.0)
    weight = segmenter.on_square(prompts.weight, scene, fill=0.0)
    mask = np.where(sign > 0, np.float32(strength) * weight, np.float32(-strength))
    return Question(prompts.points, prompts.labels, prompts.box, mask)
