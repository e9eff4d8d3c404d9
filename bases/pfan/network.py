"""PFAN's network: VGG16, a context pyramid under channel attention, and spatial attention on the lower levels."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.bases.parts.vgg import outputs_at, vgg16_convolutions

High = Literal["3x3", "1x1"]

TAPS = (3, 8, 15, 22, 29)
"""VGG16's conv1_2, conv2_2, conv3_3, conv4_3 and conv5_3, each after its ReLU."""


class ContextPyramid(nn.Module):
    """Context at four dilations: ``BxCxHxW`` -> ``Bx128xHxW``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_1_1 = nn.Conv2d(channels, 32, 1, bias=False)
        self.conv_dil_3 = nn.Conv2d(channels, 32, 3, padding=3, dilation=3, bias=False)
        self.conv_dil_5 = nn.Conv2d(channels, 32, 3, padding=5, dilation=5, bias=False)
        self.conv_dil_7 = nn.Conv2d(channels, 32, 3, padding=7, dilation=7, bias=False)
        self.bn = nn.BatchNorm2d(128)

    def forward(self, features: Tensor) -> Tensor:
        branches = (self.conv_1_1, self.conv_dil_3, self.conv_dil_5, self.conv_dil_7)
        return F.relu(self.bn(torch.cat([branch(features) for branch in branches], 1)))


class ChannelAttention(nn.Module):
    """Squeeze and excitation: ``BxCxHxW`` -> gates ``BxC`` in (0, 1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(channels, channels // 4)
        self.linear_2 = nn.Linear(channels // 4, channels)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear_2(F.relu(self.linear_1(features.mean((-2, -1))))).sigmoid()


class SpatialAttention(nn.Module):
    """Two separable 9x9 kernels, rows first and columns first: ``BxCxHxW`` -> gates ``Bx1xHxW`` in [0.5, 1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.grp1_conv1k = nn.Conv2d(channels, channels // 2, (1, 9), padding=(0, 4))
        self.grp1_bn1 = nn.BatchNorm2d(channels // 2)
        self.grp1_convk1 = nn.Conv2d(channels // 2, 1, (9, 1), padding=(4, 0))
        self.grp1_bn2 = nn.BatchNorm2d(1)
        self.grp2_convk1 = nn.Conv2d(channels, channels // 2, (9, 1), padding=(4, 0))
        self.grp2_bn1 = nn.BatchNorm2d(channels // 2)
        self.grp2_conv1k = nn.Conv2d(channels // 2, 1, (1, 9), padding=(0, 4))
        self.grp2_bn2 = nn.BatchNorm2d(1)

    def forward(self, features: Tensor) -> Tensor:
        rows = F.relu(self.grp1_bn1(self.grp1_conv1k(features)))
        rows = F.relu(self.grp1_bn2(self.grp1_convk1(rows)))
        columns = F.relu(self.grp2_bn1(self.grp2_convk1(features)))
        columns = F.relu(self.grp2_bn2(self.grp2_conv1k(columns)))
        return (rows + columns).sigmoid()


class PyramidFeatureAttention(nn.Module):
    """VGG16, context on its three upper levels under channel attention, which gate the two lower ones in space.

    Modules are named as in the released PyTorch state dict, which loads as it is.

    Args:
        high: side of the kernel that mixes the three upper levels.
    """

    def __init__(self, high: High) -> None:
        super().__init__()
        self.vgg16 = vgg16_convolutions()[:-1]
        self.cpfe_conv3_3 = ContextPyramid(256)
        self.cpfe_conv4_3 = ContextPyramid(512)
        self.cpfe_conv5_3 = ContextPyramid(512)
        self.cha_att = ChannelAttention(3 * 128)
        kernel = 3 if high == "3x3" else 1
        self.hl_conv1 = nn.Conv2d(3 * 128, 64, kernel, padding=kernel // 2)
        self.hl_bn1 = nn.BatchNorm2d(64)
        self.ll_conv_1 = nn.Conv2d(64, 64, 3, padding=1)
        self.ll_bn_1 = nn.BatchNorm2d(64)
        self.ll_conv_2 = nn.Conv2d(128, 64, 3, padding=1)
        self.ll_bn_2 = nn.BatchNorm2d(64)
        self.ll_conv_3 = nn.Conv2d(128, 64, 3, padding=1)
        self.ll_bn_3 = nn.BatchNorm2d(64)
        self.spa_att = SpatialAttention(64)
        self.ff_conv_1 = nn.Conv2d(128, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """``Bx3xHxW``, sides multiples of 16 -> logits ``Bx1xHxW``; in train mode as `regularised`."""
        logits, regulariser = self.regularised(image)
        return (logits, regulariser) if self.training else logits

    def regularised(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``Bx1xHxW``, and the mean of the channel gates, a scalar that the loss adds."""
        conv1, conv2, conv3, conv4, conv5 = outputs_at(self.vgg16, image, TAPS)
        context = [self.cpfe_conv3_3(conv3), _up(self.cpfe_conv4_3(conv4), 2), _up(self.cpfe_conv5_3(conv5), 4)]
        high = torch.cat(context, 1)
        gates = self.cha_att(high)
        high = _up(F.relu(self.hl_bn1(self.hl_conv1(high * gates[:, :, None, None]))), 4)
        low1 = F.relu(self.ll_bn_1(self.ll_conv_1(conv1)))
        low2 = _up(F.relu(self.ll_bn_2(self.ll_conv_2(conv2))), 2)
        low = F.relu(self.ll_bn_3(self.ll_conv_3(torch.cat([low1, low2], 1))))
        return self.ff_conv_1(torch.cat([low * self.spa_att(high), high], 1)), gates.mean()


def _up(features: Tensor, factor: int) -> Tensor:
    return F.interpolate(features, scale_factor=factor, mode="bilinear", align_corners=True)
