"""The network of prn-fast: a correction of the map's logits, computed at a quarter of the resolution."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.refiners.prn.network import convolution

STRIDE = 32
"""The input's side is a multiple of this: the encoder's last stage."""

CELL = 4
"""Side of the squares of pixels that share one place of the network's finest level."""

CONFIDENT = 5.0
"""Logits of the map are held in [-CONFIDENT, CONFIDENT]: a saturated pixel can still be corrected."""

DROPOUT = 0.5
"""Share of the encoder's channels that a training step does without."""


def bounded_logits(maps: Tensor) -> Tensor:
    """Logits of probabilities, held in [-CONFIDENT, CONFIDENT]; any shape."""
    bound = 1 / (1 + math.exp(-CONFIDENT))
    return torch.logit(maps.clamp(1 - bound, bound))


def corrected(maps: Tensor, correction: Tensor) -> Tensor:
    """``maps`` with ``correction``, of one shape, added to their logits; where that is zero they stay as they are."""
    logits = bounded_logits(maps)
    # What the bound cut off is put back.
    return ((logits + correction).sigmoid() + maps - logits.sigmoid()).clamp(0, 1)


class Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut; shape is kept."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = convolution(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(features + self.second(self.first(features)))


class FastNetwork(nn.Module):
    """Image and map -> what to add to the map's logits; zero before the first training step.

    The map enters by pixel-unshuffle: CELL x CELL pixels become channels, so that no pixel is lost and all
    convolutions run at stride 4 or coarser. A pretrained encoder gives features of the image at strides 4 to 32;
    a small U-shaped network joins the two, and pixel-shuffle brings the correction back to full size.

    Attributes:
        strength: what `correction` multiplies by, 0..1; chosen after the training.

    Args:
        encoder: an smp encoder of depth 5. It stays as it is: val has too few images to train it on.
        width: channels at stride 4; twice as many below.

    Example:
        >>> import segmentation_models_pytorch as smp
        >>> network = FastNetwork(smp.encoders.get_encoder("mobilenet_v2", weights=None), width=8).eval()
        >>> network(torch.rand(2, 3, 64, 96), torch.rand(2, 1, 64, 96)).abs().max().item()
        0.0
    """

    def __init__(self, encoder: Any, width: int) -> None:
        super().__init__()
        self.encoder = encoder.eval().requires_grad_(False)
        widths = (width, 2 * width, 2 * width, 2 * width)
        self.stem = convolution(3 * CELL**2, width)
        self.downs = nn.ModuleList(
            nn.Sequential(nn.MaxPool2d(2), convolution(above, below)) for above, below in itertools.pairwise(widths)
        )
        self.laterals = nn.ModuleList(
            nn.Conv2d(channels, own, 1) for channels, own in zip(encoder.out_channels[2:], widths, strict=True)
        )
        self.joins = nn.ModuleList(convolution(own, own) for own in widths)
        self.ups = nn.ModuleList(convolution(above + below, above) for above, below in itertools.pairwise(widths))
        self.head = nn.Sequential(Residual(width), nn.Conv2d(width, CELL**2, 3, padding=1))
        last = self.head[-1]
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.strength: Tensor
        self.register_buffer("strength", torch.ones(()))

    def train(self, mode: bool = True) -> FastNetwork:
        """As `nn.Module.train`, but the encoder's batch norm keeps its statistics."""
        super().train(mode)
        self.encoder.eval()
        return self

    def correction(self, pixels: Tensor, maps: Tensor) -> Tensor:
        """As `forward`, times ``strength``; the mean over the input and its mirror image."""
        mirrored = self(pixels.flip(-1), maps.flip(-1)).flip(-1)
        return self.strength * (self(pixels, maps) + mirrored) / 2

    def forward(self, pixels: Tensor, maps: Tensor) -> Tensor:
        """``Bx3xHxW`` as the encoder wants it and ``Bx1xHxW`` probabilities -> ``Bx1xHxW`` logits to add."""
        logits = bounded_logits(maps)
        doubt = 1 - (2 * maps - 1).abs()  # 1 at one half, 0 where the base is certain
        seen = torch.cat([logits / CONFIDENT, maps - 0.5, doubt], dim=1)
        levels = [self.stem(F.pixel_unshuffle(seen, CELL))]
        for down in self.downs:
            levels.append(down(levels[-1]))
        features = self.encoder(pixels)[2:]
        joined = [
            join(level + lateral(F.dropout2d(feature, DROPOUT, self.training)))
            for join, lateral, level, feature in zip(self.joins, self.laterals, levels, features, strict=True)
        ]
        found = joined[-1]
        for up, level in zip(reversed(self.ups), reversed(joined[:-1]), strict=True):
            found = F.interpolate(found, scale_factor=2.0, mode="bilinear", align_corners=False)
            found = up(torch.cat([found, level], dim=1))
        return F.pixel_shuffle(self.head(found), CELL)
