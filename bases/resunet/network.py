"""ResUNet's network: a U-Net of pre-activated residual blocks."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import torch
from torch import Tensor, nn

from bench.bases.parts.blocks import ResidualBlock, shortcut, stem

Variant = Literal["code", "paper"]


class ResUNetwork(nn.Module):
    """The network: images to logits.

    Module names are rishikksh20's, so that ``load_state_dict`` takes a checkpoint of that code as it is. The
    networks differ in the shortcuts' kernels, in batch norm in the stem's shortcut, and in how features grow.

    Args:
        variant: see `ResUNet`.

    Example:
        >>> tuple(ResUNetwork("paper").eval()(torch.rand(1, 3, 16, 24)).shape)
        (1, 1, 16, 24)
    """

    def __init__(self, variant: Variant = "code") -> None:
        super().__init__()
        code = variant == "code"
        kernel = 3 if code else 1
        self.input_layer = stem(64)
        self.input_skip = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1)) if code else shortcut(3, 64, 1)
        self.residual_conv_1 = ResidualBlock(64, 128, 2, kernel)
        self.residual_conv_2 = ResidualBlock(128, 256, 2, kernel)
        self.bridge = ResidualBlock(256, 512, 2, kernel)
        self.upsample_1 = doubled(512, learned=code)
        self.up_residual_conv1 = ResidualBlock(512 + 256, 256, kernel=kernel)
        self.upsample_2 = doubled(256, learned=code)
        self.up_residual_conv2 = ResidualBlock(256 + 128, 128, kernel=kernel)
        self.upsample_3 = doubled(128, learned=code)
        self.up_residual_conv3 = ResidualBlock(128 + 64, 64, kernel=kernel)
        self.output_layer = nn.Sequential(nn.Conv2d(64, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Float ``Bx3xHxW`` in [0, 1], sides a multiple of 8 -> logits ``Bx1xHxW``."""
        whole = self.input_layer(images) + self.input_skip(images)
        half = self.residual_conv_1(whole)
        quarter = self.residual_conv_2(half)
        features = self.upsample_1(self.bridge(quarter))
        features = self.upsample_2(self.up_residual_conv1(torch.cat([features, quarter], dim=1)))
        features = self.upsample_3(self.up_residual_conv2(torch.cat([features, half], dim=1)))
        return self.output_layer(self.up_residual_conv3(torch.cat([features, whole], dim=1)))


def doubled(channels: int, learned: bool) -> nn.Module:
    """Twice the side: a transposed 2x2 convolution, or each pixel four times."""
    if not learned:
        return nn.Upsample(scale_factor=2.0, mode="nearest")
    return nn.Sequential(OrderedDict(upsample=nn.ConvTranspose2d(channels, channels, 2, stride=2)))
