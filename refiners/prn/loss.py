"""PatchRefineNet's loss (the paper's section 3.3): pseudo-labels and ground truth, summed over both branches.

    L = alpha * (focal + boundary) + (1 - alpha) * cross-entropy

The focal and the boundary term compare a branch with the pseudo-label, the cross-entropy with the ground truth.
Each term is a mean over pixels. All of them start from logits and stay finite, with finite gradients, however
large those are and however flat the map is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

TERMS = ("focal", "boundary", "truth")
"""The loss's three terms: two on the pseudo-labels, one on the ground truth."""

EPSILON = 1e-7
"""The least boundary strength that counts, where nobody says a higher one.

The paper has none: its cross-entropy is infinite, and the gradient with it, where an edge is wanted of a flat map.
This is what float32's rounding leaves of a flat map's Laplacian (steps of 6e-8 in a probability from 0.5 on), so
that nothing but noise is cut off.
"""


def focal(logits: Tensor, target: Tensor, gamma: float) -> Tensor:
    """Cross-entropy weighted by ``(1 - p_t) ** gamma``, p_t being the probability of the right class.

    The paper tunes gamma and does not print it; the released code has 2.

    Args:
        logits: ``Bx1xHxW``.
        target: ``Bx1xHxW`` of 0 and 1.
        gamma: 0 gives plain cross-entropy.
    """
    right = torch.where(target > 0.5, logits, -logits)
    # The power is taken in the exponent: with gamma < 1 its derivative at a saturated pixel would be infinite.
    return -(torch.exp(gamma * F.logsigmoid(-right)) * F.logsigmoid(right)).mean()


def boundary_strength(probs: Tensor) -> Tensor:
    """|tanh| of the 4-neighbour Laplacian, ``Bx1xHxW`` in [0, 1): how much of an edge a pixel is on.

    The border is replicated, so that an object that leaves the image has no edge where it does.
    """
    kernel = probs.new_tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])[None, None]
    return F.conv2d(F.pad(probs, (1, 1, 1, 1), mode="replicate"), kernel).tanh().abs()


def boundary(logits: Tensor, target: Tensor, floor: float = EPSILON) -> Tensor:
    """Cross-entropy between the boundary strengths of ``sigmoid(logits)`` and of the target.

    Args:
        logits: ``Bx1xHxW``.
        target: ``Bx1xHxW`` of 0 and 1.
        floor: predicted strengths are held in ``[floor, 1 - floor]``, and get no gradient outside. The default is the
            paper's form. Its gradient goes with 1 / strength, and its direction with the sign of the Laplacian: on
            the faint slopes of a map it is large, and noise. That is why there is a variant with 0.1, ``prn-held``.
            On 100 synthetic maps of 64 pixels (20 epochs) a floor of 0.001 ended at 81.4 mIoU, 0.01 at 83.8, 0.05 at
            87.5; after `network.ResidualBlock` started at zero, 0.05 at 88.3, 0.1 at 88.7.
    """
    return held_cross_entropy(boundary_strength(torch.sigmoid(logits)), boundary_strength(target), floor)


def held_cross_entropy(strength: Tensor, wanted: Tensor, floor: float) -> Tensor:
    """Cross-entropy of strengths that are held in ``[floor, 1 - floor]``, a mean. Both of one shape, in [0, 1]."""
    return F.binary_cross_entropy(strength.clamp(floor, 1 - floor), wanted)


def prn_loss(
    branches: Sequence[Tensor],
    pseudo: Tensor,
    truth: Tensor,
    alpha: float,
    gamma: float,
    terms: Collection[str] = TERMS,
    floor: float = EPSILON,
) -> Tensor:
    """The whole loss.

    Args:
        branches: logits of each branch, ``Bx1xHxW``.
        pseudo: ``Bx1xHxW`` of 0 and 1, the patch-optimal labels.
        truth: ``Bx1xHxW`` of 0 and 1, the ground truth.
        alpha: weight of the pseudo-label's terms; the paper's is 0.7.
        gamma: see `focal`.
        terms: which of `TERMS` to sum, each with its weight of the whole loss.
        floor: see `boundary`.

    Returns:
        A scalar.
    """
    total = branches[0].new_zeros(())
    for logits in branches:
        if "focal" in terms:
            total = total + alpha * focal(logits, pseudo, gamma)
        if "boundary" in terms:
            total = total + alpha * boundary(logits, pseudo, floor)
        if "truth" in terms:
            total = total + (1 - alpha) * F.binary_cross_entropy_with_logits(logits, truth)
    return total
