"""ResUNet++'s two networks: the authors', and the one PatchRefineNet's authors used."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.bases.parts.blocks import ResidualBlock, activated, shortcut, stem, twice_activated


class SqueezeExcitation(nn.Sequential):
    """Scale each channel of ``BxCxHxW`` by a factor in (0, 1) that all channels' means give.

    Args:
        channels: C.
        reduction: C over the hidden width.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        hidden = channels // reduction
        squeeze, excite = nn.Linear(channels, hidden, bias=False), nn.Linear(hidden, channels, bias=False)
        super().__init__(squeeze, nn.ReLU(), excite, nn.Sigmoid())

    def forward(self, features: Tensor) -> Tensor:
        return features * super().forward(features.mean((2, 3)))[:, :, None, None]


class Attention(nn.ModuleDict):
    """Scale features by what they and the skip connection at twice their side say; the factor is not squashed.

    Args:
        skip, inside: channels of the skip connection and of the features.
        gates: channels of the factor: ``inside``, or 1 for all.
        kernel: of the convolution that makes the factor.
        names: of the three parts in a state dict.
    """

    def __init__(self, skip: int, inside: int, gates: int, kernel: int, names: tuple[str, str, str]) -> None:
        of_skip = nn.Sequential(*activated(skip, inside), nn.MaxPool2d(2))
        parts = of_skip, activated(inside, inside), activated(inside, gates, kernel)
        super().__init__(dict(zip(names, parts, strict=True)))

    def forward(self, skip: Tensor, features: Tensor) -> Tensor:
        of_skip, of_features, gate = self.values()
        return features * gate(of_skip(skip) + of_features(features))


class SummedPyramid(nn.Module):
    """Four 3x3 convolutions of dilation 1, 6, 12 and 18, each with batch norm, summed and mixed; sides are kept."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.c1, self.c2, self.c3, self.c4 = (
            nn.Sequential(nn.Conv2d(inside, outside, 3, padding=rate, dilation=rate), nn.BatchNorm2d(outside))
            for rate in (1, 6, 12, 18)
        )
        self.c5 = nn.Conv2d(outside, outside, 1)

    def forward(self, features: Tensor) -> Tensor:
        return self.c5(self.c1(features) + self.c2(features) + self.c3(features) + self.c4(features))


class ExcitedBlock(nn.Module):
    """A residual block whose sum goes through squeeze and excitation.

    Args:
        path: the residual path, ``BxIxHxW`` -> ``BxOxH/stridexW/stride``.
        inside, outside: I and O.
        stride: of the path.
    """

    def __init__(self, path: nn.Module, inside: int, outside: int, stride: int = 1) -> None:
        super().__init__()
        self.c1 = path
        self.c2 = shortcut(inside, outside, 1, stride)
        self.attn = nn.Sequential(OrderedDict(net=SqueezeExcitation(outside, 8)))

    def forward(self, features: Tensor) -> Tensor:
        return self.attn(self.c1(features) + self.c2(features))


def excited(inside: int, outside: int, stride: int = 1) -> ExcitedBlock:
    """The block with a pre-activated path."""
    return ExcitedBlock(twice_activated(inside, outside, stride), inside, outside, stride)


class DecoderStep(nn.Module):
    """Attention, twice the side, the skip connection beside it, and a block."""

    def __init__(self, skip: int, inside: int, outside: int) -> None:
        super().__init__()
        self.a1 = Attention(skip, inside, inside, 3, ("g_conv", "x_conv", "gc_conv"))
        self.r1 = excited(inside + skip, outside)

    def forward(self, skip: Tensor, features: Tensor) -> Tensor:
        larger = F.interpolate(self.a1(skip, features), scale_factor=2.0, mode="nearest")
        return self.r1(torch.cat([larger, skip], dim=1))


class OfficialNetwork(nn.Module):
    """The ResUNet++ authors' network: images to logits.

    Module names are theirs, so that ``load_state_dict`` takes a checkpoint of their code as it is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.c1 = ExcitedBlock(stem(16), 3, 16)
        self.c2 = excited(16, 32, stride=2)
        self.c3 = excited(32, 64, stride=2)
        self.c4 = excited(64, 128, stride=2)
        self.b1 = SummedPyramid(128, 256)
        self.d1 = DecoderStep(64, 256, 128)
        self.d2 = DecoderStep(32, 128, 64)
        self.d3 = DecoderStep(16, 64, 32)
        self.aspp = SummedPyramid(32, 16)
        self.output = nn.Conv2d(16, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Float ``Bx3xHxW`` in [0, 1], sides a multiple of 8 -> logits ``Bx1xHxW``."""
        whole = self.c1(images)
        half = self.c2(whole)
        quarter = self.c3(half)
        features = self.d1(quarter, self.b1(self.c4(quarter)))
        features = self.d3(whole, self.d2(half, features))
        return self.output(self.aspp(features))


class JoinedPyramid(nn.Module):
    """Three 3x3 convolutions of dilation 6, 12 and 18, each with ReLU and batch norm, side by side and mixed."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.aspp_block1, self.aspp_block2, self.aspp_block3 = (
            nn.Sequential(
                nn.Conv2d(inside, outside, 3, padding=rate, dilation=rate), nn.ReLU(), nn.BatchNorm2d(outside)
            )
            for rate in (6, 12, 18)
        )
        self.output = nn.Conv2d(3 * outside, outside, 1)

    def forward(self, features: Tensor) -> Tensor:
        blocks = self.aspp_block1, self.aspp_block2, self.aspp_block3
        return self.output(torch.cat([block(features) for block in blocks], dim=1))


class PrnNetwork(nn.Module):
    """ResUNet++ as PatchRefineNet's authors used it (rishikksh20's, twice as wide): images to logits.

    Module names are theirs, so that ``load_state_dict`` takes a checkpoint of their code as it is. The sigmoid their
    network ends in is left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.input_layer = stem(32)
        self.input_skip = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1))
        for level, channels in enumerate((32, 64, 128), start=1):
            excitation = nn.Sequential(OrderedDict(fc=SqueezeExcitation(channels, 16)))
            self.add_module(f"squeeze_excite{level}", excitation)
            self.add_module(f"residual_conv{level}", ResidualBlock(channels, 2 * channels, stride=2))
        self.aspp_bridge = JoinedPyramid(256, 512)
        names = ("conv_encoder", "conv_decoder", "conv_attn")
        for level, skip in enumerate((128, 64, 32), start=1):
            self.add_module(f"attn{level}", Attention(skip, 4 * skip, 1, 1, names))
            self.add_module(f"up_residual_conv{level}", ResidualBlock(5 * skip, 2 * skip))
        self.aspp_out = JoinedPyramid(64, 32)
        self.output_layer = nn.Sequential(nn.Conv2d(32, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Float ``Bx3xHxW`` in [0, 1], sides a multiple of 8 -> logits ``Bx1xHxW``."""
        features = self.input_layer(images) + self.input_skip(images)
        skips = []
        for level in (1, 2, 3):
            skips.append(features)
            excited = self.get_submodule(f"squeeze_excite{level}")(features)
            features = self.get_submodule(f"residual_conv{level}")(excited)
        features = self.aspp_bridge(features)
        for level, skip in enumerate(reversed(skips), start=1):
            features = self.get_submodule(f"attn{level}")(skip, features)
            features = F.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False)
            features = self.get_submodule(f"up_residual_conv{level}")(torch.cat([features, skip], dim=1))
        return self.output_layer(self.aspp_out(features))
