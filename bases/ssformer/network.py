"""SSFormer's network: SegFormer's encoder and a decoder that adds one level after the other."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ENCODER = "mit_b2"

CHANNELS = (64, 128, 320, 512)
"""Of the encoder's maps at strides 4, 8, 16 and 32."""

WIDTH = 256


class SSFormerNetwork(nn.Module):
    """The network: images to logits. Module names are the authors': their ``state_dict`` loads as it is."""

    def __init__(self) -> None:
        super().__init__()
        import segmentation_models_pytorch as smp

        # smp reads values of a tensor while it builds the encoder, and the meta device has none.
        device = torch.get_default_device()
        with torch.device("cpu"):
            encoder = smp.encoders.get_encoder(ENCODER, weights=None)
        self.backbone = encoder.to(device)
        self.decode_head = Decoder()

    def encode(self, images: Tensor) -> list[Tensor]:
        """Normalised ``Bx3xHxW`` -> the encoder's maps at strides 4, 8, 16 and 32."""
        maps: list[Tensor] = self.backbone(images)[2:]
        return maps

    def forward(self, images: Tensor) -> Tensor:
        """Normalised ``Bx3xHxW``, sides multiples of 32 -> logits ``Bx1xHxW``."""
        logits = self.decode_head(self.encode(images))
        return F.interpolate(logits, images.shape[-2:], mode="bilinear", align_corners=True)


class Decoder(nn.Module):
    """The progressive locality decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.linear_c1, self.linear_c2, self.linear_c3, self.linear_c4 = map(LocalEmphasis, CHANNELS)
        self.linear_fuse = Fusion(4 * WIDTH)
        self.linear_fuse34, self.linear_fuse2, self.linear_fuse1 = (Fusion(2 * WIDTH) for _ in range(3))
        self.dropout = nn.Dropout(0.1)
        self.linear_pred = nn.Conv2d(WIDTH, 1, 1)

    def fuse(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The encoder's maps -> the fusion of the two coarsest and that of all, each ``Bx256xhxw`` at stride 4."""
        size = maps[0].shape[-2:]
        emphasis = (self.linear_c1, self.linear_c2, self.linear_c3, self.linear_c4)
        c1, c2, c3, c4 = (
            F.interpolate(step(level), size, mode="bilinear", align_corners=False)
            for step, level in zip(emphasis, maps, strict=True)
        )
        coarse = self.linear_fuse34(torch.cat([c4, c3], 1))
        middle = self.linear_fuse2(torch.cat([coarse, c2], 1))
        return coarse, self.linear_fuse1(torch.cat([middle, c1], 1))

    def forward(self, maps: list[Tensor]) -> Tensor:
        """The encoder's maps -> logits ``Bx1xhxw`` at stride 4."""
        return self.linear_pred(self.dropout(self.fuse(maps)[1]))


class LocalEmphasis(nn.Module):
    """Two 3x3 convolutions, each with ReLU: ``BxCxhxw`` -> ``Bx256xhxw``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first = nn.Conv2d(channels, WIDTH, 3, padding=1, bias=False)
        second = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)
        self.proj = nn.Sequential(first, nn.ReLU(), second, nn.ReLU())

    def forward(self, features: Tensor) -> Tensor:
        return self.proj(features)


class Fusion(nn.Module):
    """1x1 convolution, batch norm, ReLU: ``BxCxhxw`` -> ``Bx256xhxw``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, WIDTH, 1, bias=False)
        self.bn = nn.BatchNorm2d(WIDTH)

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(features)))
