"""What GLNet learns: the mask, in each branch and in their ensemble, and features that agree."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from bench.bases.glnet.patches import PatchGrid

GAMMA = 3
SUREST = 1e-7
"""A probability counts as at least this and at most 1 minus this: beyond, a pixel moves nothing."""

DISTANCE_WEIGHT = 0.15


def glnet_loss(outputs: dict[str, Tensor], mask: Tensor, patch: int) -> Tensor:
    """The sum of the focal losses of the answers there are, and 0.15 of the features' distance where it is given.

    Args:
        outputs: of `GLNetwork` in train mode.
        mask: ``Bx1xSxS`` of 0 and 1.
        patch: side of a patch in pixels.
    """
    patches = PatchGrid(mask.shape[-1], patch).cut(mask).flatten(0, 1)
    masks = {"global": mask, "local": patches, "ensemble": patches}
    terms = [focal(outputs[name], masks[name]) for name in masks if name in outputs]
    if "distance" in outputs:
        terms.append(DISTANCE_WEIGHT * outputs["distance"])
    return sum(terms[1:], start=terms[0])


def focal(logits: Tensor, mask: Tensor) -> Tensor:
    """Mean of -(1 - p) ** 3 log p over pixels, p the probability of the pixel's class, held in [1e-7, 1 - 1e-7].

    Args:
        logits: ``Bx2xhxw``, background first.
        mask: ``Bx1xSxS`` of 0 and 1; the nearest pixel counts.
    """
    labels = F.interpolate(mask, logits.shape[-2:], mode="nearest-exact").long()
    p = logits.softmax(1).gather(1, labels).clamp(SUREST, 1 - SUREST)
    return (-((1 - p) ** GAMMA) * p.log()).mean()
