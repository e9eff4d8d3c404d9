"""PatchRefineNet's loss for m classes: `bench.refiners.prn.loss` with softmax in sigmoid's place.

With two classes, whose logits differ by z, it is the binary loss of the logit z.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.refiners.prn.loss import EPSILON, boundary_strength, held_cross_entropy


def focal(logits: Tensor, target: Tensor, gamma: float) -> Tensor:
    """Cross-entropy weighted by ``(1 - p_t) ** gamma``, p_t being the probability of the right class.

    Args:
        logits: ``BxmxHxW``, m of at least 2.
        target: int64 ``BxHxW`` in 0..m-1.
        gamma: 0 gives plain cross-entropy.
    """
    log_probs = F.log_softmax(logits, dim=1)
    right = log_probs.gather(1, target[:, None])[:, 0]
    # log(1 - p_t) as a sum over the wrong classes: 1 - p_t itself has no digits left where p_t is nearly 1.
    of_target = F.one_hot(target, logits.shape[1]).movedim(-1, 1).bool()
    wrong = log_probs.masked_fill(of_target, -torch.inf).logsumexp(dim=1)
    return -(torch.exp(gamma * wrong) * right).mean()


def boundary(logits: Tensor, target: Tensor, floor: float = EPSILON) -> Tensor:
    """Cross-entropy between the boundary strengths of each class's probability and of its region, mean over classes.

    Args:
        logits: ``BxmxHxW``.
        target: int64 ``BxHxW`` in 0..m-1.
        floor: as the binary `bench.refiners.prn.loss.boundary`'s.
    """
    regions = F.one_hot(target, logits.shape[1]).movedim(-1, 1).to(logits.dtype)
    predicted, wanted = (boundary_strength(maps.flatten(0, 1)[:, None]) for maps in (logits.softmax(dim=1), regions))
    return held_cross_entropy(predicted, wanted, floor)


def multiclass_loss(
    branches: Sequence[Tensor],
    pseudo: Tensor,
    truth: Tensor,
    alpha: float,
    gamma: float,
    floor: float = EPSILON,
) -> Tensor:
    """``alpha * (focal + boundary) + (1 - alpha) * cross-entropy``, summed over the branches.

    Args:
        branches: logits of each branch, ``BxmxHxW``.
        pseudo: int64 ``BxHxW`` in 0..m-1, the patch-optimal labels.
        truth: int64 ``BxHxW`` in 0..m-1, the ground truth.
        alpha: weight of the pseudo-labels' terms.
        gamma: see `focal`.
        floor: see `boundary`.

    Returns:
        A scalar.
    """
    total = branches[0].new_zeros(())
    for logits in branches:
        total = total + alpha * (focal(logits, pseudo, gamma) + boundary(logits, pseudo, floor))
        total = total + (1 - alpha) * F.cross_entropy(logits, truth)
    return total
