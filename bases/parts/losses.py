"""Losses that several networks share."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F


def bce_dice(logits: Tensor, mask: Tensor, smooth: float = 1.0) -> Tensor:
    """Binary cross-entropy plus 1 - soft Dice over the batch (D-LinkNet's loss). Both ``Bx1xHxW``; mask 0 or 1.

    Args:
        smooth: added to both sides of the Dice ratio, which is 0/0 for an empty batch without it.
    """
    return F.binary_cross_entropy_with_logits(logits, mask) + dice_loss(logits.sigmoid(), mask, smooth)


def dice_loss(probs: Tensor, mask: Tensor, smooth: float = 1.0) -> Tensor:
    """1 - soft Dice over the whole batch. Both ``Bx1xHxW``, probabilities and a mask of 0 and 1."""
    return 1 - (2 * (probs * mask).sum() + smooth) / (probs.sum() + mask.sum() + smooth)


def as_float(outputs: Any) -> Any:
    """Float32 tensors in whatever shape a network gives them out: mixed precision computes in less."""
    if isinstance(outputs, Tensor):
        return outputs.float()
    if isinstance(outputs, dict):
        return {name: as_float(value) for name, value in outputs.items()}
    return type(outputs)(as_float(value) for value in outputs)
