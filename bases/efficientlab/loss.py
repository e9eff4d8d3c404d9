"""What EfficientLab learns of a class: cross-entropy and the logarithm of Dice."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

EPSILON = 1e-7


def criterion(logits: Tensor, masks: Tensor) -> Tensor:
    """Mean cross-entropy minus the logarithm of Dice, 2J / (J + 1) of the batch's mean soft IoU J. All Bx1xSxS."""
    probs = logits.sigmoid()
    both = (probs * masks).sum((1, 2, 3))
    either = (probs + masks).sum((1, 2, 3)) - both
    mean_iou = ((both + EPSILON) / (either + EPSILON)).mean()
    return F.binary_cross_entropy_with_logits(logits, masks) - (2 * mean_iou / (mean_iou + 1)).log()
