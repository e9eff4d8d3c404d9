"""What ISDNet learns: the classes at five places, the image's detail, and the detail's structure."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from bench.bases.isdnet.network import Outputs

EPSILON = 1e-6
"""Added to a channel's norm before it divides."""

STAGE_WEIGHT, DETAIL_WEIGHT, STRUCTURE_WEIGHT = 0.4, 0.1, 1.0


def similarity(features: Tensor) -> Tensor:
    """How alike any two places are: ``BxCxHxW`` -> ``BxHWxHW``, each channel first scaled to a norm of 1 over space."""
    flat = features.flatten(2)
    unit = flat / (flat.norm(dim=2, keepdim=True) + EPSILON)
    return unit.mT @ unit


def isdnet_loss(outputs: Outputs, mask: Tensor) -> Tensor:
    """The released sum of losses.

    Cross-entropies of the final head, the deep branch and both contexts at the mask's size, plus 0.4 of the deep
    branch's third stage; 0.1 of the mean square error of the super-resolution against the image's detail; and the mean
    absolute difference of the deep features' similarities to those of the super-resolution's, which it does not move.
    Softmax over two classes is the sigmoid of their difference, hence binary cross-entropy of foreground logits.

    Args:
        outputs: of the network in train mode.
        mask: float ``Bx1xHxW`` of 0 and 1.
    """
    size = mask.shape[-2:]

    def entropy(logits: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(_resized(logits, size), mask)

    classes = entropy(outputs["road"]) + entropy(outputs["deep"]) + entropy(outputs["aux16"]) + entropy(outputs["aux8"])
    fine, coarse = outputs["detail"].chunk(2, dim=1)
    detail = F.mse_loss(_resized(outputs["restored"], size), fine + coarse)
    target = similarity(_resized(outputs["fine_features"], outputs["deep_features"].shape[-2:])).detach()
    structure = F.l1_loss(similarity(outputs["deep_features"]), target)
    return classes + STAGE_WEIGHT * entropy(outputs["stage"]) + DETAIL_WEIGHT * detail + STRUCTURE_WEIGHT * structure


def _resized(features: Tensor, size: tuple[int, ...]) -> Tensor:
    return F.interpolate(features, size, mode="bilinear", align_corners=False)
