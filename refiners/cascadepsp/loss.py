"""CascadePSP's loss: three distances at six outputs, and one of edges at the last (specs/cascadepsp.md, section 5)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

WEIGHTS = {
    "out_224": (0.0, 1.0),
    "out_28": (1.0, 0.0),
    "out_56": (0.5, 0.25),
    "out_28_2": (1.0, 0.0),
    "out_28_3": (1.0, 0.0),
    "out_56_2": (0.5, 0.25),
}
"""Output -> the weights of its cross-entropy, and of its L1 and its squared distance alike.

The number is the side at an input of 224 that the output is made at: 28 is 1/8, 56 is 1/4. ``_2`` and ``_3`` tell the
passes that repeat an output apart.
"""

EDGES = 5.0
_SMOOTH = 1e-4


def cascade_loss(outputs: Mapping[str, Tensor], truth: Tensor) -> Tensor:
    """Sum over outputs of the weighted distances to the truth, plus 5 times the L1 distance of the edges of the last.

    Args:
        outputs: logits ``Bx1xHxW`` by the names of `WEIGHTS`, as the network returns them; others are not looked at.
        truth: float ``Bx1xHxW`` of 0 and 1.

    Returns:
        A scalar; every distance is a mean over batch and pixels.
    """
    logits = {name: outputs[name].float() for name in WEIGHTS}
    total = EDGES * F.l1_loss(edges(logits["out_224"].sigmoid()), edges(truth))
    for name, (entropy, distance) in WEIGHTS.items():
        if entropy:
            total = total + entropy * F.binary_cross_entropy_with_logits(logits[name], truth)
        if distance:
            probs = logits[name].sigmoid()
            total = total + distance * (F.l1_loss(probs, truth) + F.mse_loss(probs, truth))
    return total


def edges(values: Tensor) -> Tensor:
    """Length of the gradient of a map ``Bx1xHxW``: a mean of 3 x 3, then Sobel by 1/4, ``sqrt(gx^2 + gy^2 + 1e-4)``.

    Beyond the border both see zeros; the paper does not say.
    """
    across = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]], device=values.device) / 4
    kernels = torch.stack([across, across.T])[:, None]
    gradient = F.conv2d(F.avg_pool2d(values, 3, stride=1, padding=1), kernels, padding=1)
    return (gradient.square().sum(dim=1, keepdim=True) + _SMOOTH).sqrt()
