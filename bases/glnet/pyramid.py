"""GLNet's branches: a ResNet-50 and a feature pyramid each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet

from bench.bases.glnet.patches import bilinear

Place: TypeAlias = list[Tensor]
"""One map a level, coarsest first: strides 32, 16, 8, 4."""

LATERALS = {"toplayer": 2048, "latlayer1": 1024, "latlayer2": 512, "latlayer3": 256}
"""Layer and channels of the map it reads, coarsest first."""

SMOOTHS = {f"smooth{level}_{step}": width for step, width in ((1, 256), (2, 128)) for level in (1, 2, 3, 4)}
"""Layer and channels it gives out: those of P1, then those of P2, coarsest first."""

CLASSES = 2


class Features(NamedTuple):
    """What one branch computes.

    Attributes:
        places: where the branches meet: c, P0, P1 and P2, each with a map a level.
        p3: ``Bx512xhxw``, h = H / 4.
        logits: ``Bx2xhxw``, background first.
    """

    places: tuple[Place, ...]
    p3: Tensor
    logits: Tensor

    def of(self, index: int) -> Features:
        """Those of one image of the batch."""
        one = slice(index, index + 1)
        return Features(tuple([level[one] for level in place] for place in self.places), self.p3[one], self.logits[one])


class Backbone(ResNet):
    """torchvision's ResNet-50 without its classifier: ``Bx3xHxW`` -> c5, c4, c3, c2."""

    def __init__(self) -> None:
        super().__init__(Bottleneck, [3, 4, 6, 3])
        del self.fc

    def forward(self, x: Tensor) -> Place:
        """c5, c4, c3, c2: 2048, 1024, 512, 256 channels at strides 32, 16, 8, 4."""
        maps: Place = []
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            maps.insert(0, x)
        return maps


class Pyramid(nn.Module):
    """A feature pyramid without batch norm or activation; a set of layers may take the other branch's maps as well.

    Args:
        sets: the ending of a set's layer names -> how many branches it reads, 1 or 2.
    """

    def __init__(self, sets: Mapping[str, int]) -> None:
        super().__init__()
        self.suffixes = {branches: suffix for suffix, branches in sets.items()}
        for suffix, branches in sets.items():
            for name, channels in LATERALS.items():
                self.add_module(name + suffix, convolution(channels * branches, 256, 1))
            for name, channels in SMOOTHS.items():
                self.add_module(name + suffix, convolution(256 * branches, channels))
        if 2 in self.suffixes:
            self.smooth = convolution(1024, 512)
        self.classify = convolution(512, CLASSES)

    def used(self, branches: int) -> list[nn.Module]:
        """The layers that compute something where so many branches are read."""
        suffix = self.suffixes[branches]
        names = [*(name + suffix for name in (*LATERALS, *SMOOTHS)), "classify", *(["smooth"] if branches == 2 else [])]
        return [self.get_submodule(name) for name in names]

    def forward(self, c: Place, other: Sequence[Place] | None = None) -> Features:
        """The backbone's maps and, for a set that reads two branches, the other branch's places at the same sizes."""
        suffix = self.suffixes[1 if other is None else 2]

        def joined(place: int, maps: Place) -> Place:
            return maps if other is None else [torch.cat(pair, 1) for pair in zip(maps, other[place], strict=True)]

        def applied(names: Sequence[str], maps: Place) -> Place:
            return [self.get_submodule(name + suffix)(one) for name, one in zip(names, maps, strict=True)]

        laterals = applied(list(LATERALS), joined(0, c))
        p0 = laterals[:1]
        for lateral in laterals[1:]:
            p0.append(lateral + bilinear(p0[-1], lateral.shape[-2:]))
        p1 = applied(list(SMOOTHS)[:4], joined(1, p0))
        p2 = applied(list(SMOOTHS)[4:], joined(2, p1))
        p3 = torch.cat([bilinear(one, p2[-1].shape[-2:]) for one in joined(3, p2)], 1)
        if other is not None:
            p3 = self.smooth(p3)
        return Features((c, p0, p1, p2), p3, self.classify(p3))


def convolution(inputs: int, outputs: int, kernel: int = 3) -> nn.Conv2d:
    """A convolution that keeps the size; weights start as N(0, 0.01), biases at zero."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    nn.init.normal_(conv.weight, std=0.01)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv
