"""What CoANet learns: the road, and which neighbours of a road pixel are road too (Mei et al., section III)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from bench.bases.parts.losses import bce_dice

NEAR, FAR = 2, 4
"""Pixels to the neighbours of either connectivity head; the released code's, whose names say 1 and 3."""

NEAR_SHARE, FAR_SHARE, CONNECTIVITY_WEIGHT = 0.6, 0.4, 0.2


def connectivity(mask: Tensor, radius: int) -> Tensor:
    """The connectivity cube of a mask.

    Channel ``3 * row + column`` of a 3x3 grid of offsets -radius, 0, radius is 1 where the pixel and its neighbour
    at that offset are both road; the middle channel is the mask. Outside the image nothing is road.

    Args:
        mask: float ``Bx1xHxW`` of 0 and 1.
        radius: in pixels.

    Returns:
        float ``Bx9xHxW`` of 0 and 1.

    Example:
        >>> import torch
        >>> connectivity(torch.tensor([[[[1.0, 1.0, 0.0]]]]), radius=1)[0, :, 0, 0]
        tensor([0., 0., 0., 0., 1., 1., 0., 0., 0.])
    """
    neighbours = F.unfold(mask, 3, dilation=radius, padding=radius)
    return neighbours.unflatten(2, mask.shape[-2:]) * mask


def coanet_loss(road: Tensor, near: Tensor, far: Tensor, mask: Tensor) -> Tensor:
    """The road's, plus 0.2 times the connectivity's cross-entropies, 0.6 of near and 0.4 of far neighbours.

    The road's is binary cross-entropy plus 1 - soft Dice over the batch, without smoothing: a batch without road has
    a Dice loss of 1 and no gradient of it.

    Args:
        road, near, far: logits, ``Bx1xHxW``, ``Bx9xHxW`` and ``Bx9xHxW``.
        mask: float ``Bx1xHxW`` of 0 and 1.
    """
    entropy = F.binary_cross_entropy_with_logits
    near_loss, far_loss = entropy(near, connectivity(mask, NEAR)), entropy(far, connectivity(mask, FAR))
    connected = NEAR_SHARE * near_loss + FAR_SHARE * far_loss
    return bce_dice(road, mask, smooth=0.0) + CONNECTIVITY_WEIGHT * connected
