"""ResUNet-a's network: residual units of parallel dilations, pyramid pooling, and heads for four tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Depth = Literal[6, 7]

FIRST = 32
"""Channels of the first level."""

WIDE, MIDDLE, NARROW, ONE = (1, 3, 15, 31), (1, 3, 15), (1, 3, 5), (1,)
ENCODER = {6: (WIDE, WIDE, MIDDLE, NARROW, ONE, ONE), 7: (WIDE, WIDE, MIDDLE, NARROW, ONE, ONE, ONE)}
"""Dilation rates of each level's unit, by depth."""
DECODER = {6: (NARROW, MIDDLE, WIDE, WIDE, WIDE), 7: (ONE, MIDDLE, WIDE, WIDE, WIDE, WIDE)}
"""The same, from the lowest level up."""


def normed(inside: int, outside: int, kernel: int) -> nn.Sequential:
    """Convolution without bias, batch norm."""
    convolution = nn.Conv2d(inside, outside, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outside))


def head(inside: int, hidden: int, layers: int, outside: int = 1) -> nn.Sequential:
    """3x3 convolutions with batch norm and ReLU, then a 1x1 convolution: logits ``BxOxHxW``."""
    steps: list[nn.Module] = []
    for layer in range(layers):
        steps += [normed(hidden if layer else inside, hidden, 3), nn.ReLU()]
    return nn.Sequential(*steps, nn.Conv2d(hidden if layers else inside, outside, 1))


class AtrousUnit(nn.Module):
    """The input plus one pre-activated pair of 3x3 convolutions for each dilation rate; shape is kept."""

    def __init__(self, channels: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.paths = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(channels),
                nn.ReLU(),
                nn.Conv2d(channels, channels, 3, padding=rate, dilation=rate, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
                nn.Conv2d(channels, channels, 3, padding=rate, dilation=rate),
            )
            for rate in rates
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + sum(path(features) for path in self.paths)


class PyramidPooling(nn.Module):
    """Maxima over 1, 2x2, 4x4, ... tiles, broadcast back, put after the features and mixed with them.

    Where a side is no multiple of the tiles, they overlap; where it is shorter, a tile is a pixel.

    Args:
        inside, outside: channels.
        depth: how many grids of tiles; each adds ``outside // depth`` channels.
    """

    def __init__(self, inside: int, outside: int, depth: int = 4) -> None:
        super().__init__()
        width = outside // depth
        self.branches = nn.ModuleList(normed(inside, width, 1) for _ in range(depth))
        self.mix = normed(inside + depth * width, outside, 1)

    def forward(self, features: Tensor) -> Tensor:
        """``BxIxHxW`` -> ``BxOxHxW``, after a ReLU."""
        levels = [features]
        for level, branch in enumerate(self.branches):
            tiles = F.adaptive_max_pool2d(features, 2**level)
            levels.append(branch(F.interpolate(tiles, features.shape[-2:], mode="nearest")))
        return F.relu(self.mix(torch.cat(levels, dim=1)))


class Combine(nn.Module):
    """Lower features, doubled in side and halved in channels, beside the skip connection and mixed with it.

    Args:
        channels: of the skip connection and of the result; the lower features have twice as many.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lower = normed(2 * channels, channels // 2, 1)
        self.mix = normed(channels // 2 + channels, channels, 1)

    def forward(self, lower: Tensor, skip: Tensor) -> Tensor:
        larger = F.interpolate(self.lower(lower), scale_factor=2.0, mode="nearest")
        return self.mix(torch.cat([F.relu(larger), skip], dim=1))


class ResUNetANetwork(nn.Module):
    """The network: images to logits; in train mode to those of four tasks.

    Args:
        depth: levels of the encoder, 6 or 7.
    """

    def __init__(self, depth: Depth = 6) -> None:
        super().__init__()
        widths = [FIRST << level for level in range(depth)]
        self.first = nn.Sequential(normed(3, FIRST, 1), nn.ReLU())
        self.encoder = nn.ModuleList(AtrousUnit(*level) for level in zip(widths, ENCODER[depth], strict=True))
        self.down = nn.ModuleList(
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False) for width in widths[:-1]
        )
        self.pooling = PyramidPooling(widths[-1], widths[-1], 4 if depth == 6 else 3)
        self.combine = nn.ModuleList(Combine(width) for width in reversed(widths[:-1]))
        self.decoder = nn.ModuleList(
            AtrousUnit(*level) for level in zip(reversed(widths[:-1]), DECODER[depth], strict=True)
        )
        self.last_pooling = PyramidPooling(2 * FIRST, FIRST)
        self.distance = head(2 * FIRST, FIRST, 2)
        self.boundary = head(FIRST + 1, FIRST, 1)
        self.colour = head(2 * FIRST, FIRST, 0, 3)
        self.mask = head(FIRST + 2, FIRST, 2)

    def features(self, images: Tensor) -> Tensor:
        """Float ``Bx3xHxW``, sides a multiple of the last level's stride -> what the heads see, ``Bx64xHxW``."""
        first = features = self.first(images)
        skips = []
        for unit, down in zip(self.encoder, [*self.down, nn.Identity()], strict=True):
            skips.append(unit(features))
            features = down(skips[-1])
        features = self.pooling(skips.pop())
        for combine, unit in zip(self.combine, self.decoder, strict=True):
            features = unit(combine(features, skips.pop()))
        return torch.cat([first, features], dim=1)

    def tasks(self, images: Tensor) -> dict[str, Tensor]:
        """The logits of all four tasks; each head sees the probabilities of those it is built on.

        Args:
            images: float ``Bx3xHxW`` RGB in [0, 1].

        Returns:
            ``mask``, ``boundary`` (pixels along the mask's outline) and ``distance`` (to the background, over the
            largest in the image), each ``Bx1xHxW``, and ``colour`` (hue, saturation, value), ``Bx3xHxW``.
        """
        features = self.features(images)
        pooled = self.last_pooling(features)
        distance = self.distance(features)
        boundary = self.boundary(torch.cat([pooled, distance.sigmoid()], dim=1))
        mask = self.mask(torch.cat([pooled, boundary.sigmoid(), distance.sigmoid()], dim=1))
        return {"mask": mask, "boundary": boundary, "distance": distance, "colour": self.colour(features)}

    def forward(self, images: Tensor) -> Tensor | dict[str, Tensor]:
        """Float ``Bx3xHxW`` RGB in [0, 1] -> logits ``Bx1xHxW``; in train mode `tasks` and the ``image`` itself."""
        tasks = self.tasks(images)
        return {**tasks, "image": images} if self.training else tasks["mask"]
