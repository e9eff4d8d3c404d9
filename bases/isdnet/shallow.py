"""ISDNet's shallow branch: an image's detail at full size, through a short chain of convolutions."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.bases.isdnet.parts import conv_norm_relu


class Detail(nn.Module):
    """The two finest levels of a Laplacian pyramid, both at the image's size: ``BxCxHxW`` -> ``Bx2CxHxW``.

    Rows and columns are divisible by 4.
    """

    def forward(self, images: Tensor) -> Tensor:
        """The first C channels are the residual at full resolution, the others the one at half resolution."""
        half = self._blur(images)[..., ::2, ::2]
        quarter = self._blur(half)[..., ::2, ::2]
        coarse = F.interpolate(half - self._expand(quarter), images.shape[-2:], mode="bilinear", align_corners=False)
        return torch.cat([images - self._expand(half), coarse], dim=1)

    def _blur(self, images: Tensor) -> Tensor:
        # The binomials 1 4 6 4 1 of rows and of columns, as sums of neighbours: a convolution would be computed in half
        # precision where a training is, and the detail is a small difference of large numbers.
        sums = F.pad(images, (2, 2, 2, 2), mode="reflect")
        for _ in range(4):
            sums = sums[..., 1:, :] + sums[..., :-1, :]
            sums = sums[..., 1:] + sums[..., :-1]
        return sums / 256

    def _expand(self, images: Tensor) -> Tensor:
        """Twice the rows and columns: zeros in between, blurred."""
        height, width = images.shape[-2:]
        spread = F.pad(images[..., :, None, :, None], (0, 1, 0, 0, 0, 1))
        return self._blur(4 * spread.reshape(*images.shape[:2], 2 * height, 2 * width))


class CatBlock(nn.Module):
    """STDC's block: a chain of four convolutions, each narrower, whose results are all put side by side.

    Args:
        inside, outside: channels.
        stride: 1 or 2.
    """

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        widths = (outside // 2, outside // 4, outside // 8, outside // 8)
        chain = [conv_norm_relu(*pair) for pair in pairwise(widths)]
        self.conv_list = nn.ModuleList([conv_norm_relu(inside, widths[0], 1), *chain])
        self.avd_layer: nn.Module = nn.Identity()
        self.skip: nn.Module = nn.Identity()
        if stride == 2:
            depthwise = nn.Conv2d(widths[0], widths[0], 3, stride, 1, groups=widths[0], bias=False)
            self.avd_layer = nn.Sequential(depthwise, nn.BatchNorm2d(widths[0]))
            self.skip = nn.AvgPool2d(3, stride, 1)

    def forward(self, features: Tensor) -> Tensor:
        first = self.conv_list[0](features)
        results, chained = [self.skip(first)], self.avd_layer(first)
        for conv in list(self.conv_list)[1:]:
            chained = conv(chained)
            results.append(chained)
        return torch.cat(results, dim=1)


class Shallow(nn.Module):
    """`Detail` of an image, ``Bx6xHxW`` -> 256 channels at stride 8 and 512 at stride 16."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            conv_norm_relu(6, 32, stride=2),
            conv_norm_relu(32, 64, stride=2),
            CatBlock(64, 256, 2),
            CatBlock(256, 256, 1),
            CatBlock(256, 512, 2),
            CatBlock(512, 512, 1),
        )

    def forward(self, detail: Tensor) -> tuple[Tensor, Tensor]:
        eighth = self.features[:4](detail)
        return eighth, self.features[4:](eighth)
