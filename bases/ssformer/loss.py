"""What SSFormer learns: the mask, by its cross-entropy and the Dice ratio of each pixel."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def ssformer_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy plus the mean of 1 - (2py + 1) / (p + y + 1). Both ``Bx1xSxS``; mask of 0 and 1."""
    probs = logits.sigmoid()
    ratio = (2 * probs * mask + 1) / (probs + mask + 1)
    return F.binary_cross_entropy_with_logits(logits, mask) + (1 - ratio).mean()
