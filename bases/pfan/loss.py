"""What PFAN learns: the mask and its edges."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def edges(maps: Tensor) -> Tensor:
    """How much a pixel exceeds its 8 neighbours: relu(tanh(Laplacian)) of ``Bx1xHxW``, zeros around the image."""
    kernel = maps.new_full((1, 1, 3, 3), -1.0)
    kernel[..., 1, 1] = 8.0
    return F.conv2d(maps, kernel, padding=1).tanh().relu()


def pfan_loss(logits: Tensor, regulariser: Tensor, mask: Tensor, *, foreground: float, edge: float) -> Tensor:
    """The weighted cross-entropy of the mask and the cross-entropy of its edges, plus the regulariser.

    Args:
        logits: ``Bx1xSxS``.
        regulariser: a scalar.
        mask: ``Bx1xSxS`` of 0 and 1.
        foreground, edge: see `Pfan`.
    """
    weight = torch.where(mask > 0, foreground, 1.0)
    # Probabilities near 0 and 1, and the cross-entropy of their edges, need float32.
    with torch.autocast(logits.device.type, enabled=False):
        whole = F.binary_cross_entropy_with_logits(logits, mask, weight)
        outline = F.binary_cross_entropy(edges(logits.sigmoid()), edges(mask))
    return (1 - edge) * whole + edge * outline + regulariser
