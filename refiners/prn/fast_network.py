"""The network of prn-fast: several small heads that correct a map's logits, on one frozen encoder of the image."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts import DECISION
from bench.refiners.prn.network import convolution

STRIDE = 32
"""The input's side is a multiple of this: the encoder's last stage."""

CELL = 8
"""Side of the squares of pixels that share one place of a head's finest level."""

CONFIDENT = 5.0
"""Logits of the map are held in [-CONFIDENT, CONFIDENT]: a saturated pixel can still be corrected."""

DROPOUT = 0.5
"""Share of the encoder's channels that a training step does without."""


def bounded_logits(maps: Tensor) -> Tensor:
    """Logits of probabilities, held in [-CONFIDENT, CONFIDENT]; any shape."""
    bound = 1 / (1 + math.exp(-CONFIDENT))
    return torch.logit(maps.clamp(1 - bound, bound))


def shifted(maps: Tensor, threshold: Tensor | float) -> Tensor:
    """As `bench.refiners.threshold.remap`, to rounding: ``threshold`` goes to one half, 0 and 1 stay."""
    above = DECISION + (1 - DECISION) * (maps - threshold) / (1 - threshold)
    return torch.where(maps >= threshold, above, DECISION * maps / threshold)


def corrected(starts: Sequence[Tensor], correction: Tensor) -> Tensor:
    """The mean of ``starts`` with ``correction`` added to its logits; where that is zero they stay as they are.

    Args:
        starts: probabilities, all of one shape. Their mean is taken of logits, where `corrected` adds.
        correction: of that shape.
    """
    logits = torch.stack([bounded_logits(start) for start in starts]).mean(0)
    # What the bound cut off is put back.
    return ((logits + correction).sigmoid() + torch.stack(list(starts)).mean(0) - logits.sigmoid()).clamp(0, 1)


def strength_of(strength: Tensor, heads: int, fewer: int) -> Tensor:
    """What the mean correction of other heads in number is to be multiplied by.

    Least squares shrink a signal of variance S under noise of variance N by S / (S + N). The mean of n heads has a
    noise of N / n, if theirs are independent: the odds, strength / (1 - strength), go with n. (Heads share most of
    their images, so N is somewhat more.)

    Args:
        strength: 0..1, right for the mean of ``heads`` heads.
        heads: that number.
        fewer: the other one; it may also be more.
    """
    return strength * fewer / (strength * fewer + (1 - strength) * heads)


class Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut; shape is kept."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = convolution(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(features + self.second(self.first(features)))


class Cells(nn.Conv2d):
    """Pixel-unshuffle by CELL and a 1x1 convolution of its channels, as one strided convolution: nothing is moved.

    Args:
        channels: of the maps.
        outside: of the cells.
    """

    def __init__(self, channels: int, outside: int) -> None:
        super().__init__(channels * CELL**2, outside, 1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """``BxchannelsxHxW`` -> ``Bxoutside x H/CELL x W/CELL``."""
        return F.conv2d(maps, self.weight.view(self.out_channels, -1, CELL, CELL), self.bias, stride=CELL)


class Head(nn.Module):
    """The encoder's features and the map -> what to add to the map's logits; zero before the first training step.

    The map enters by pixel-unshuffle: CELL x CELL pixels become channels, so that no pixel is lost and all
    convolutions run at stride 8 or coarser. A small U-shaped network joins it with the features, and pixel-shuffle
    brings the correction back to full size.

    Args:
        channels: of the encoder's features at strides 8, 16 and 32.
        width: channels at stride 8; twice as many below.
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        widths = (width, 2 * width, 2 * width)
        self.stem = nn.Sequential(Cells(3, width), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.downs = nn.ModuleList(
            nn.Sequential(nn.MaxPool2d(2), convolution(above, below)) for above, below in itertools.pairwise(widths)
        )
        self.laterals = nn.ModuleList(nn.Conv2d(theirs, own, 1) for theirs, own in zip(channels, widths, strict=True))
        self.joins = nn.ModuleList(convolution(own, own) for own in widths)
        self.ups = nn.ModuleList(convolution(above + below, above) for above, below in itertools.pairwise(widths))
        self.head = nn.Sequential(Residual(width), nn.Conv2d(width, CELL**2, 1))
        last = self.head[-1]
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, features: Sequence[Tensor], maps: Tensor) -> Tensor:
        """Features at strides 8, 16 and 32 and ``Bx1xHxW`` probabilities -> ``Bx1xHxW`` logits to add."""
        doubt = 1 - (2 * maps - 1).abs()  # 1 at one half, 0 where the base is certain
        seen = torch.cat([bounded_logits(maps) / CONFIDENT, maps - DECISION, doubt], dim=1)
        levels = [self.stem(seen)]
        for down in self.downs:
            levels.append(down(levels[-1]))
        joined = [
            join(level + lateral(F.dropout2d(feature, DROPOUT, self.training)))
            for join, lateral, level, feature in zip(self.joins, self.laterals, levels, features, strict=True)
        ]
        found = joined[-1]
        for up, level in zip(reversed(self.ups), reversed(joined[:-1]), strict=True):
            found = F.interpolate(found, scale_factor=2.0, mode="bilinear", align_corners=False)
            found = up(torch.cat([found, level], dim=1))
        return F.pixel_shuffle(self.head(found), CELL)


class FastNetwork(nn.Module):
    """Image and map -> the refined map: a frozen encoder, and heads of which each starts at a threshold of its own.

    Attributes:
        thresholds: float64 ``(heads,)``, which a head's map is `shifted` to before the head sees it.
        strength: what the mean correction of all heads is multiplied by, 0..1; chosen after the training. That of fewer
            heads is noisier and gets less, see `strength_of`.

    Args:
        encoder: an smp encoder of depth 5. It stays as it is: val has too few images to train it on.
        width: see `Head`.
        heads: how many.

    Example:
        >>> import segmentation_models_pytorch as smp
        >>> network = FastNetwork(smp.encoders.get_encoder("mobilenet_v2", weights=None), width=8, heads=2).eval()
        >>> maps = torch.rand(2, 1, 64, 96)
        >>> torch.allclose(network(torch.rand(2, 3, 64, 96), maps), maps, atol=1e-6)
        True
    """

    def __init__(self, encoder: Any, width: int, heads: int) -> None:
        super().__init__()
        self.encoder = encoder.eval().requires_grad_(False)
        self.heads = nn.ModuleList(Head(encoder.out_channels[3:], width) for _ in range(heads))
        self.thresholds: Tensor
        self.strength: Tensor
        self.register_buffer("thresholds", torch.full((heads,), DECISION, dtype=torch.float64))
        self.register_buffer("strength", torch.ones(()))

    def train(self, mode: bool = True) -> FastNetwork:
        """As `nn.Module.train`, but the encoder's batch norm keeps its statistics."""
        super().train(mode)
        self.encoder.eval()
        return self

    def features(self, pixels: Tensor) -> list[Tensor]:
        """``Bx3xHxW`` as the encoder wants it -> its features at strides 8, 16 and 32."""
        features: list[Tensor] = self.encoder(pixels)[3:]
        return features

    def start(self, maps: Tensor, head: int) -> Tensor:
        """Where a head's correction begins: float32 of ``maps``' shape."""
        return shifted(maps.double(), self.thresholds[head]).float()

    def correction(self, features: Sequence[Tensor], starts: Sequence[Tensor], heads: Sequence[int]) -> Tensor:
        """What to add to the logits of the heads' `start`, ``Bx1xHxW``: the mean over heads, and over mirror images."""
        both = [torch.cat([feature, feature.flip(-1)]) for feature in features]
        found = []
        for head, start in zip(heads, starts, strict=True):
            plain, mirrored = self.heads[head](both, torch.cat([start, start.flip(-1)])).unflatten(0, (2, -1))
            found += [plain, mirrored.flip(-1)]
        return strength_of(self.strength, len(self.heads), len(heads)) * torch.stack(found).mean(0)

    def forward(self, pixels: Tensor, maps: Tensor) -> Tensor:
        """``Bx3xHxW`` as the encoder wants it and ``Bx1xHxW`` probabilities -> ``Bx1xHxW`` probabilities."""
        every = range(len(self.heads))
        starts = [self.start(maps, head) for head in every]
        return corrected(starts, self.correction(self.features(pixels), starts, every))
