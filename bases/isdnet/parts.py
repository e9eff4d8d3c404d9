"""What both branches of ISDNet are built of."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from bench.bases.parts.pooled_norm import PooledBatchNorm


def conv_norm(
    inside: int, outside: int, kernel: int = 3, *, stride: int = 1, dilation: int = 1, pooled: bool = False
) -> nn.Sequential:
    """Convolution and batch norm, which keep rows and columns at a stride of 1; ``pooled``: of ``BxCx1x1``."""
    conv = nn.Conv2d(inside, outside, kernel, stride, dilation * (kernel // 2), dilation, bias=False)
    norm = PooledBatchNorm(outside) if pooled else nn.BatchNorm2d(outside)
    return nn.Sequential(OrderedDict(conv=conv, bn=norm))


def conv_norm_relu(
    inside: int, outside: int, kernel: int = 3, *, stride: int = 1, dilation: int = 1, pooled: bool = False
) -> nn.Sequential:
    """As `conv_norm`, then ReLU."""
    block = conv_norm(inside, outside, kernel, stride=stride, dilation=dilation, pooled=pooled)
    block.add_module("activate", nn.ReLU())
    return block


class Predictor(nn.Module):
    """A 3x3 convolution with batch norm and ReLU to 64 channels, and a 1x1 convolution: 128 -> ``outputs`` channels.

    Args:
        outputs: classes, or colours.
        dropout: share of the input's channels left out in train mode.
    """

    def __init__(self, outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout2d(dropout)
        self.conv_bn_relu = conv_norm_relu(128, 64)
        self.conv_out = nn.Conv2d(64, outputs, 1)

    def forward(self, features: Tensor) -> Tensor:
        return self.conv_out(self.conv_bn_relu(self.dropout(features)))
