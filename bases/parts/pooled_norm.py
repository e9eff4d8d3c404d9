"""Batch norm of globally pooled features, where a step may have one sample."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts import UserError


class PooledBatchNorm(nn.BatchNorm2d):
    """Batch norm of ``BxCx1x1``; in train mode a step of one sample is normalised with the running statistics.

    One value a channel has no variance, and PyTorch refuses it. Our loop leaves such a step out, so it is met where the
    whole train split is one image, or in another loop. It leaves the running statistics as they are. In eval mode, and
    for two samples or more, this is `torch.nn.BatchNorm2d`, with its parameter names.

    Example:
        >>> import torch
        >>> tuple(PooledBatchNorm(4).train()(torch.rand(1, 4, 1, 1)).shape)
        (1, 4, 1, 1)
    """

    def forward(self, features: Tensor) -> Tensor:
        """``BxCx1x1`` -> the same shape."""
        if self.training and len(features) == 1:
            return F.batch_norm(features, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(features)


def check_statistics(batch: int, side: int, stride: int) -> None:
    """Whether a training gives batch norm something to normalise by: more than one value a channel.

    Args:
        batch: samples a step.
        side: of what is trained on, in pixels.
        stride: of the network's coarsest features.

    Raises:
        UserError: every step has one sample, or the features are of one pixel.
    """
    if batch < 2:
        raise UserError(
            "batch norm of pooled features needs two images a step", f"batch={batch}", "use batch=2 or more"
        )
    if side <= stride:
        fix = f"use {2 * stride} or more"
        raise UserError("batch norm needs features of more than one pixel", f"size or crop={side}", fix)
