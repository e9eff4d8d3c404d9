"""EfficientLab-6-3: EfficientNet-B0 cut after its eleventh block, and residual skip-decoders."""

from __future__ import annotations

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

ENCODER = "tf_efficientnet_b0"
STAGES = 5
BLOCKS, BLOCKS_OF_ALL = 11, 16
DROP_CONNECT = 0.2
WIDTH = 112
NORM_EPS, NORM_MOMENTUM = 1e-3, 0.01
"""Of batch norm; TensorFlow's momentum .99 is torch's .01."""


class Backbone(nn.Module):
    """The stem and the first five stages of timm's ``tf_efficientnet_b0``, under its names.

    The variant ``tf_`` pads as TensorFlow does, one pixel more below and to the right at stride 2.
    """

    def __init__(self) -> None:
        super().__init__()
        # Block i drops its branch at 0.2 i / 11; timm counts i / 16, as it has the five last blocks too.
        rate = DROP_CONNECT * BLOCKS_OF_ALL / BLOCKS
        whole = timm.create_model(ENCODER, drop_path_rate=rate, bn_eps=NORM_EPS, bn_momentum=NORM_MOMENTUM)
        self.conv_stem, self.bn1, self.blocks = whole.conv_stem, whole.bn1, whole.blocks[:STAGES]

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Bx3xSxS -> Bx24xS/4xS/4 and Bx112xS/16xS/16."""
        first, second, *deeper = self.blocks
        shallow = second(first(self.bn1(self.conv_stem(pixels))))
        deep = shallow
        for stage in deeper:
            deep = stage(deep)
        return shallow, deep


def unit(inside: int, side: int, dilation: int = 1) -> nn.Sequential:
    """Convolution to 112 channels, swish, batch norm: in this order."""
    conv = nn.Conv2d(inside, WIDTH, side, padding=dilation * (side // 2), dilation=dilation)
    nn.init.xavier_uniform_(conv.weight)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return nn.Sequential(conv, nn.SiLU(), nn.BatchNorm2d(WIDTH, eps=NORM_EPS, momentum=NORM_MOMENTUM))


class ResidualSkipDecoder(nn.Module):
    """RSD: brings a deep map of 112 channels to a shallower one's size, and adds what a small pyramid sees in both.

    Args:
        skip: channels of the shallower map.
    """

    def __init__(self, skip: int) -> None:
        super().__init__()
        both = WIDTH + skip
        self.pointwise = unit(both, 1)
        self.dilated = unit(both, 3, dilation=2)
        self.merge = unit(2 * WIDTH + both, 3)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """Bx112xhxw and BxCxHxW -> Bx112xHxW."""
        up = F.interpolate(deep, skip.shape[-2:], mode="bilinear", align_corners=True)
        both = torch.cat([up, skip], dim=1)
        mean = both.mean((2, 3), keepdim=True).expand_as(both)
        return up + self.merge(torch.cat([self.pointwise(both), self.dilated(both), mean], dim=1))


class EfficientLab63(nn.Module):
    """The network; `forward` gives the difference of its two classes' scores, whose sigmoid is their softmax.

    Args:
        dropout: share of the last features dropped in training.
    """

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.rsd4 = ResidualSkipDecoder(WIDTH)
        self.rsd2 = ResidualSkipDecoder(24)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Conv2d(WIDTH, 2, 1)
        nn.init.xavier_uniform_(self.head.weight)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised RGB Bx3xSxS -> foreground logits Bx1xSxS."""
        shallow, deep = self.backbone(pixels)
        # The first decoder's skip is its own input: `--rsd 2 4` of the authors counts the deepest map as one.
        decoded = self.rsd2(self.rsd4(deep, deep), shallow)
        background, foreground = self.head(self.dropout(decoded)).split(1, dim=1)
        return F.interpolate(foreground - background, scale_factor=4, mode="bilinear", align_corners=True)
