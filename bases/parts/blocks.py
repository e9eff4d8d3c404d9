"""What the residual U-Nets share: pre-activated convolutions, shortcuts and the block of the two."""

from __future__ import annotations

from torch import Tensor, nn


def activated(inside: int, outside: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Batch norm, ReLU, convolution with bias: ``BxIxHxW`` -> ``BxOxH/stridexW/stride``."""
    convolution = nn.Conv2d(inside, outside, kernel, stride, padding=kernel // 2)
    return nn.Sequential(nn.BatchNorm2d(inside), nn.ReLU(), convolution)


def twice_activated(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    """Two times batch norm, ReLU, 3x3 convolution: the residual path of a block. The first convolution has the stride.

    The layers are numbered 0 to 5, as in every published ResUNet.
    """
    return nn.Sequential(*activated(inside, outside, stride=stride), *activated(outside, outside))


def stem(outside: int) -> nn.Sequential:
    """The residual path that begins with an image ``Bx3xHxW``, which is not activated."""
    return nn.Sequential(nn.Conv2d(3, outside, 3, padding=1), *activated(outside, outside))


def shortcut(inside: int, outside: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution with bias and batch norm: a block's other path."""
    convolution = nn.Conv2d(inside, outside, kernel, stride, padding=kernel // 2)
    return nn.Sequential(convolution, nn.BatchNorm2d(outside))


class ResidualBlock(nn.Module):
    """`twice_activated` plus `shortcut`, with rishikksh20's names: ``conv_block`` and ``conv_skip``.

    Args:
        inside, outside: channels.
        stride: of both paths.
        kernel: of the shortcut; 1 in the papers, 3 in that code.
    """

    def __init__(self, inside: int, outside: int, stride: int = 1, kernel: int = 3) -> None:
        super().__init__()
        self.conv_block = twice_activated(inside, outside, stride)
        self.conv_skip = shortcut(inside, outside, kernel, stride)

    def forward(self, features: Tensor) -> Tensor:
        """``BxIxHxW`` -> ``BxOxH/stridexW/stride``."""
        return self.conv_block(features) + self.conv_skip(features)
