"""A Segment-Anything model with the prompts that it was made for: a box, points and the map itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from bench.contracts import DECISION, Budget, Mask, ProbabilityMap, SearchSpace, Span, UserError
from bench.refiners.samrefiner.prompted import Prompted
from bench.refiners.samrefiner.prompts import points_for, tight_box
from bench.training.hub import ModelId

if TYPE_CHECKING:
    from bench.refiners.samrefiner.model import Scene


class Sam(Prompted):
    """A Segment-Anything model asked once about each region of the map: by its box, by points, and by the map's logits.

    No published method, but what one tries first with such a model; `samrefiner` is a paper's. For a model that was
    fine-tuned on boxes alone, such as MedSAM, ask by boxes alone: ``sam[points=0,strength=0]``. Regions are split and
    merged as in `samrefiner`. The result is the highest probability of all regions; regions that were not asked
    about, or to which the model answered with nothing, keep the map's values. A map without foreground stays as it is.

    Models and what they have seen: as in `samrefiner`.

    Args:
        model: a folder (``save_pretrained``'s: config.json, model.safetensors; preprocessor_config.json where the
            pixels are not normalised as is usual for its type), or a name on the Hugging Face hub.
        revision: of a name on the hub: a branch, tag or commit. Only a commit stays what it is.
        box: ask by the region's box.
        widen: each side of the box moves outwards by this share of the box's extent, to the image's border at most.
        points: on the region, at most; the first is its most interior pixel. 0 for none.
        negatives: in the box beside the region, at most. 0 for none.
        strength: the map's logits are cut at this and its negative, and are the mask prompt, in which other regions
            count as background; 0 gives none.
        select: the one mask that the model has for a question with one answer (``single``); or, of its masks for any
            question, the one it believes best (``predicted``) or with the highest IoU with the region (``coarse``).
        regions: only so many are asked about, the largest.

    Raises:
        UserError: a number is out of range, or there is neither box nor point; at the first `refine`, the model cannot
            be had or is of another kind.
    """

    search_space: ClassVar[SearchSpace] = {
        "widen": Span(0.0, 0.2),
        "points": Span(0, 3),
        "negatives": Span(0, 3),
        "strength": Span(1.0, 30.0, log=True),
        "select": ("single", "predicted", "coarse"),
    }
    cost: ClassVar[Budget] = Budget(seconds=45, memory_mb=4800)

    def __init__(
        self,
        *,
        model: ModelId = "facebook/sam-vit-base",
        revision: str = "main",
        box: bool = True,
        widen: float = 0.0,
        points: int = 1,
        negatives: int = 0,
        strength: float = 10.0,
        select: Literal["single", "predicted", "coarse"] = "single",
        regions: int = 10,
        device: str = "cpu",
    ) -> None:
        least = {"points": (points, 0), "negatives": (negatives, 0), "regions": (regions, 1)}
        for name, (value, low) in least.items():
            if value < low:
                raise UserError(f"{name}={value}", "sam", f"give {low} or more")
        for name, number in (("widen", widen), ("strength", strength)):
            if not 0 <= number < np.inf:
                raise UserError(f"{name}={number}", "sam", "give 0 or a number above it")
        if not box and not points:
            raise UserError("neither a box nor a point on the region", "sam[box=false,points=0]", "give one of them")
        super().__init__(model, revision, regions, device)
        self.box, self.widen, self.points, self.negatives = box, widen, points, negatives
        self.strength, self.select = strength, select

    def _answer(self, scene: Scene, region: Mask, probs: ProbabilityMap) -> NDArray[np.float32] | None:
        from bench.refiners.samrefiner.model import Question

        points, labels = points_for(region, self.points, self.negatives)
        box = _widened(tight_box(region), self.widen, region.shape) if self.box else None
        mask = None
        if self.strength:
            logits = _logits(probs, region, self.strength)
            mask = self._segmenter.on_square(logits, scene, fill=-self.strength)
        question = Question(points, labels, box, mask)
        found, scores = self._segmenter.ask(scene, question, single=self.select == "single")
        if self.select == "coarse":
            masks = found >= 0
            scores = (masks & region).sum(axis=(1, 2)) / (masks | region).sum(axis=(1, 2))
        best = found[int(scores.argmax())]
        return best if (best >= 0).any() else None


def _widened(box: tuple[int, int, int, int], share: float, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """First column, first row, last column and last row, each moved outwards and held in the image."""
    x1, y1, x2, y2 = box
    across, down = share * (x2 - x1 + 1), share * (y2 - y1 + 1)
    moved = [max(x1 - across, 0), max(y1 - down, 0), min(x2 + across, shape[1] - 1), min(y2 + down, shape[0] - 1)]
    return np.array(moved, np.float64)


def _logits(probs: ProbabilityMap, region: Mask, most: float) -> NDArray[np.float32]:
    """The map's logits ``(H, W)`` in [-most, most], below 0 on other regions."""
    from scipy.special import logit

    found = np.clip(logit(probs.astype(np.float64)), -most, most)
    return np.where((probs >= DECISION) & ~region, -found, found).astype(np.float32)
