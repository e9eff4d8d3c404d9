"""PatchRefineNet's network, as the paper draws it (section 3.2 and figure 3 there).

A residual encoder and a pyramid pooling see the whole probability map. Two decoders of one architecture turn the
features into logits: the global one sees all of them, the local one sees one patch at a time, so that each patch
finds its own binarisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts import UserError

STRIDE = 8
"""The map's side over the bottleneck's."""

Branches = Literal["both", "global", "local"]


def convolution(inside: int, outside: int) -> nn.Sequential:
    """3x3 convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)
    )


class OfRepeated(nn.Conv2d):
    """3x3 convolution of features whose pixels are repeated first, to a larger side (nearest neighbours)."""

    def forward(self, features: Tensor, size: Sequence[int]) -> Tensor:  # type: ignore[override]  # where to is new
        """``BxCxHxW`` -> ``Bxoutside`` and the two sides of ``size``."""
        if tuple(size) == tuple(2 * side for side in features.shape[-2:]):
            return F.conv_transpose2d(features, of_repeated(self.weight), self.bias, stride=2, padding=1)
        return super().forward(F.interpolate(features, list(size), mode="nearest"))


class UpConvolution(nn.Sequential):
    """`OfRepeated`, batch norm, ReLU."""

    def __init__(self, inside: int, outside: int) -> None:
        convolve = OfRepeated(inside, outside, 3, padding=1, bias=False)
        super().__init__(convolve, nn.BatchNorm2d(outside), nn.ReLU(inplace=True))

    def forward(self, features: Tensor, size: Sequence[int]) -> Tensor:  # type: ignore[override]  # where to is new
        """As `OfRepeated`."""
        convolve, norm, rectify = self
        grown: Tensor = rectify(norm(convolve(features, size)))
        return grown


def of_repeated(weight: Tensor) -> Tensor:
    """The weights with which a transposed convolution of stride 2 is a 3x3 convolution of pixels that are there twice.

    The 3x3 pixels that an output sees are copies of 2x2. With the weights of one's copies added up there are 16
    products a pixel of the input in place of 36, and the repeated pixels, four times the input, are never written.

    Args:
        weight: the convolution's, ``outside x inside x 3 x 3``.

    Returns:
        ``inside x outside x 4 x 4``.

    Example:
        >>> features, weight = torch.rand(1, 2, 5, 5), torch.rand(3, 2, 3, 3)
        >>> plain = F.conv2d(F.interpolate(features, scale_factor=2.0, mode="nearest"), weight, padding=1)
        >>> torch.allclose(F.conv_transpose2d(features, of_repeated(weight), stride=2, padding=1), plain, atol=1e-5)
        True
    """
    summed = 4 * F.avg_pool2d(F.pad(weight.flip(-2, -1), (1, 1, 1, 1)), 2, stride=1)
    return summed.transpose(0, 1)


class ResidualBlock(nn.Module):
    """ResNet-34's basic block: two 3x3 convolutions around a shortcut.

    Args:
        inside, outside: channels.
        stride: of the first convolution.
    """

    def __init__(self, inside: int, outside: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(outside)
        self.second = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(outside)
        # Every block starts as its shortcut: the network then finds the identity, which it has to learn before it
        # can improve on it, in a fraction of the epochs.
        nn.init.zeros_(self.second_norm.weight)
        self.stride = stride
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inside != outside:
            self.shortcut = nn.Sequential(nn.Conv2d(inside, outside, 1, bias=False), nn.BatchNorm2d(outside))

    def forward(self, features: Tensor) -> Tensor:
        inner = F.relu(self.first_norm(self.first(features)), inplace=True)
        # The same as a strided 1x1 convolution, whose backward pass writes past its memory where it has fewer than
        # 16 input channels in channels-last layout (oneDNN issue 6035).
        shortcut = self.shortcut(features[:, :, :: self.stride, :: self.stride])
        return F.relu(self.second_norm(self.second(inner)).add_(shortcut), inplace=True)


class Encoder(nn.Module):
    """ResNet-34's four stages of 3, 4, 6 and 3 blocks at strides 1, 2, 4 and 8, after a 3x3 stem.

    Args:
        width: channels of the first stage; they double with every stage.
        classes: channels of the map.
    """

    def __init__(self, width: int, classes: int = 1) -> None:
        super().__init__()
        self.stem = convolution(classes, width)
        self.stages = nn.ModuleList()
        inside = width
        for level, blocks in enumerate((3, 4, 6, 3)):
            outside = width << level
            first = ResidualBlock(inside, outside, stride=1 if level == 0 else 2)
            self.stages.append(nn.Sequential(first, *(ResidualBlock(outside, outside) for _ in range(blocks - 1))))
            inside = outside

    def forward(self, maps: Tensor) -> list[Tensor]:
        """``BxCxSxS`` -> ``Bxwidth*2^i x S/2^i x S/2^i`` for i = 0..3."""
        levels = [self.stem(maps)]
        for stage in self.stages:
            levels.append(stage(levels[-1]))
        return levels[1:]


class PyramidPooling(nn.Module):
    """Averages over 1, 2x2, 4x4 and 8x8 regions, put beside the features and mixed with them; shape is kept."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pools = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(bins), nn.Conv2d(channels, channels, 1, bias=False))
            for bins in (1, 2, 4, 8)
        )
        self.mix = nn.Conv2d(5 * channels, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        *of_pools, of_features = self.mix.weight.split(features.shape[1], dim=1)
        total = F.conv2d(features, of_features, self.mix.bias)
        for pool, weight in zip(self.pools, of_pools, strict=True):
            # Mixed before they are stretched: the two commute, and the regions are few.
            mixed = F.conv2d(pool(features), weight)
            total = total + F.interpolate(mixed, features.shape[-2:], mode="bilinear", align_corners=False)
        return F.relu(total, inplace=True)


class AttentionGate(nn.Module):
    """Attention U-Net's additive gate: the decoder's features say where to let the skip connection through."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        self.of_decoder = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.BatchNorm2d(inner))
        self.of_skip = nn.Sequential(nn.Conv2d(channels, inner, 1), nn.BatchNorm2d(inner))
        self.gate = nn.Sequential(nn.Conv2d(inner, 1, 1), nn.BatchNorm2d(1), nn.Sigmoid())

    def forward(self, decoded: Tensor, skip: Tensor) -> Tensor:
        return skip * self.gate(F.relu(self.of_decoder(decoded).add_(self.of_skip(skip)), inplace=True))


class Decoder(nn.Module):
    """Attention-gated U-Net decoder: from stride 8 to logits at stride 1.

    Args:
        width: channels of the first level.
        classes: channels of the logits.
    """

    def __init__(self, width: int, classes: int = 1) -> None:
        super().__init__()
        channels = [width * 4, width * 2, width]
        self.ups = nn.ModuleList(UpConvolution(2 * c, c) for c in channels)
        self.gates = nn.ModuleList(AttentionGate(c) for c in channels)
        self.blocks = nn.ModuleList(nn.Sequential(convolution(2 * c, c), convolution(c, c)) for c in channels)
        self.head = nn.Conv2d(width, classes, 3, padding=1)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """What `Encoder` gives, the last one pooled -> ``BxCxSxS``."""
        decoded = levels[-1]
        for up, gate, block, skip in zip(self.ups, self.gates, self.blocks, reversed(levels[:-1]), strict=True):
            decoded = up(decoded, skip.shape[-2:])
            decoded = block(torch.cat([gate(decoded, skip), decoded], dim=1))
        return self.head(decoded)


def cut(features: Tensor, grid: int) -> Tensor:
    """``BxCxHxW`` -> ``B*grid*grid x C x H/grid x W/grid``: disjoint patches, row-major, folded into the batch.

    In channels-last layout where the features are.
    """
    places = features.unflatten(3, (grid, -1)).unflatten(2, (grid, -1))
    if features.is_contiguous(memory_format=torch.channels_last):
        return places.permute(0, 2, 4, 3, 5, 1).flatten(0, 2).permute(0, 3, 1, 2)
    return places.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)


def tile(patches: Tensor, grid: int) -> Tensor:
    """The inverse of `cut`."""
    count, channels, high, wide = patches.shape
    batch = count // (grid * grid)
    features = patches.reshape(batch, grid, grid, channels, high, wide).permute(0, 3, 1, 4, 2, 5)
    return features.reshape(batch, channels, grid * high, grid * wide)


def patch_sides(size: int) -> list[int]:
    """Patch sides that cut a map of this side into equal patches."""
    return [side for side in range(1, size + 1) if size % side == 0]


class PrnNetwork(nn.Module):
    """The network: a map to a map of logits from each branch.

    Args:
        size: side S of the map, a multiple of 8, at least 16.
        patch: side of the local decoder's patches; divides ``size``. Where it is no multiple of 8, the features at
            the strides that do not divide it are stretched until every patch has whole ones (nearest neighbours). From
            8 pixels on memory does not grow as patches shrink; below, a patch still has a feature of its own at
            stride 8, and it does.
        width: channels of the first level, even; the paper's is 32.
        branches: ``both``, or the ``global`` or the ``local`` one alone (the paper's ablation).
        classes: channels C of the map and of the logits: 1 for a foreground's probability, or one a class.

    Raises:
        UserError: they do not fit together.

    Example:
        >>> network = PrnNetwork(size=64, patch=16, width=4).eval()
        >>> [tuple(logits.shape) for logits in network(torch.rand(2, 1, 64, 64))]
        [(2, 1, 64, 64), (2, 1, 64, 64)]
    """

    def __init__(self, size: int, patch: int, width: int, branches: Branches = "both", classes: int = 1) -> None:
        super().__init__()
        if size < 2 * STRIDE or size % STRIDE:
            raise UserError(f"a size of {size}", f"prn[size={size}]", f"use a multiple of {STRIDE}, at least 16")
        if patch not in patch_sides(size):
            fits = ", ".join(map(str, patch_sides(size)))
            raise UserError(f"a patch of {patch} in a size of {size}", f"prn[patch={patch}]", f"use one of {fits}")
        if width < 2 or width % 2:
            raise UserError(f"a width of {width}", f"prn[width={width}]", "use an even number")
        self.patch, self.grid = patch, size // patch
        self.encoder = Encoder(width, classes)
        self.pooling = PyramidPooling(8 * width)
        self.whole = Decoder(width, classes) if branches != "local" else None
        self.local = Decoder(width, classes) if branches != "global" else None

    def encode(self, maps: Tensor) -> list[Tensor]:
        """``BxCxSxS`` in [0, 1] -> features at strides 1, 2, 4 and 8, the last pooled."""
        levels = self.encoder(maps)
        return [*levels[:-1], self.pooling(levels[-1])]

    def decode_whole(self, levels: list[Tensor]) -> Tensor:
        """Features -> the global branch's logits ``BxCxSxS``. Not for a network with the local branch alone."""
        assert self.whole is not None
        return self.whole(levels)

    def decode_local(self, levels: list[Tensor]) -> Tensor:
        """Features -> the local branch's logits ``BxCxSxS``. All patches make one batch: nothing crosses a border."""
        assert self.local is not None
        patches = [self._patches(level, 2**index) for index, level in enumerate(levels)]
        return tile(self.local(patches), self.grid)

    def forward(self, maps: Tensor) -> tuple[Tensor, ...]:
        """``BxCxSxS`` probabilities -> logits of the global and of the local branch, where present, ``BxCxSxS``."""
        levels = self.encode(maps)
        branches = ((self.whole, self.decode_whole), (self.local, self.decode_local))
        return tuple(decode(levels) for decoder, decode in branches if decoder is not None)

    def _patches(self, features: Tensor, stride: int) -> Tensor:
        if self.patch % stride:
            side = self.grid * -(-self.patch // stride)
            features = F.interpolate(features, (side, side), mode="nearest")
        return cut(features, self.grid)
