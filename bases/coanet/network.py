"""CoANet's network: a dilated ResNet-101, atrous pooling, a decoder of strip convolutions, connectivity heads.

Modules are named as in the state dict of the released code (mj129/CoANet at b680c4f2), so that it loads as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import Bottleneck, ResNet

from bench.bases.parts.pooled_norm import PooledBatchNorm

NEIGHBOURS = 9
STAGE3_DILATIONS = (2,) * 23
STAGE4_DILATIONS = (4, 8, 16)
ATROUS_DILATIONS = (1, 12, 24, 36)


class Backbone(ResNet):
    """ResNet-101 whose third and fourth stage keep the stride of 8 and dilate every block, the first one too."""

    def __init__(self) -> None:
        super().__init__(Bottleneck, [3, 4, 23, 3], replace_stride_with_dilation=[False, True, True])
        del self.fc
        for stage, dilations in ((self.layer3, STAGE3_DILATIONS), (self.layer4, STAGE4_DILATIONS)):
            for block, dilation in zip(stage, dilations, strict=True):
                block.conv2.dilation = block.conv2.padding = (dilation, dilation)

    def stages(self, images: Tensor) -> list[Tensor]:
        """``Bx3xHxW`` -> 256, 512, 1024 and 2048 channels at strides 4, 8, 8 and 8."""
        features = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        outputs = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            features = stage(features)
            outputs.append(features)
        return outputs


class AtrousBranch(nn.Module):
    """One dilated convolution of the pyramid, 2048 -> 256 channels; 1x1 where the dilation is 1."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        kernel, padding = (1, 0) if dilation == 1 else (3, dilation)
        self.atrous_conv = nn.Conv2d(2048, 256, kernel, padding=padding, dilation=dilation, bias=False)
        self.bn = nn.BatchNorm2d(256)

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(self.bn(self.atrous_conv(features)))


class AtrousPooling(nn.Module):
    """Atrous spatial pyramid pooling with the image's mean: ``Bx2048xHxW`` -> ``Bx256xHxW``."""

    def __init__(self) -> None:
        super().__init__()
        self.aspp1, self.aspp2, self.aspp3, self.aspp4 = (AtrousBranch(dilation) for dilation in ATROUS_DILATIONS)
        self.global_avg_pool = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(2048, 256, 1, bias=False), PooledBatchNorm(256), nn.ReLU()
        )
        self.conv1 = nn.Conv2d(5 * 256, 256, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(256)
        self.dropout = nn.Dropout(0.5)

    def forward(self, features: Tensor) -> Tensor:
        branches = [branch(features) for branch in (self.aspp1, self.aspp2, self.aspp3, self.aspp4)]
        # Of one value, so every interpolation is a copy.
        mean = self.global_avg_pool(features).expand(-1, -1, *features.shape[-2:])
        return self.dropout(F.relu(self.bn1(self.conv1(torch.cat([*branches, mean], dim=1)))))


def shear(features: Tensor) -> Tensor:
    """``BxCxHxW`` -> ``BxCxHx(W+H-1)``: row i moves i columns to the right, zeros fill the rest."""
    height, width = features.shape[-2:]
    flat = F.pad(features, (0, height)).flatten(2)
    return flat[..., : height * (width + height - 1)].unflatten(2, (height, width + height - 1))


def unshear(sheared: Tensor) -> Tensor:
    """`shear` undone: ``BxCxHx(W+H-1)`` -> ``BxCxHxW``."""
    height, long = sheared.shape[-2:]
    return F.pad(sheared.flatten(2), (0, height)).unflatten(2, (height, long + 1))[..., : long + 1 - height]


class StripBlock(nn.Module):
    """Strip convolutions of nine pixels along rows, columns and diagonals, between two 1x1 convolutions.

    Args:
        inside, outside: channels.
        up: double rows and columns.
        both: the fourth strip runs down the main diagonal; else both slanted strips run up the anti-diagonal, as the
            released code has it.
    """

    def __init__(self, inside: int, outside: int, *, up: bool, both: bool) -> None:
        super().__init__()
        self.up, self.both = up, both
        narrow, strip = inside // 4, inside // 8
        self.conv1 = nn.Conv2d(inside, narrow, 1)
        self.bn1 = nn.BatchNorm2d(narrow)
        self.deconv1 = nn.Conv2d(narrow, strip, (1, 9), padding=(0, 4))
        self.deconv2 = nn.Conv2d(narrow, strip, (9, 1), padding=(4, 0))
        self.deconv3 = nn.Conv2d(narrow, strip, (9, 1), padding=(4, 0))
        self.deconv4 = nn.Conv2d(narrow, strip, (1, 9), padding=(0, 4))
        self.bn2 = nn.BatchNorm2d(4 * strip)
        self.conv3 = nn.Conv2d(4 * strip, outside, 1)
        self.bn3 = nn.BatchNorm2d(outside)

    def forward(self, features: Tensor) -> Tensor:
        """``BxCxHxW`` -> ``BxC'xHxW``, twice the rows and columns with `up`."""
        narrow = F.relu(self.bn1(self.conv1(features)))
        rising = unshear(self.deconv3(shear(narrow)))
        strips = torch.cat([self.deconv1(narrow), self.deconv2(narrow), rising, self._fourth(narrow)], dim=1)
        if self.up:
            strips = F.interpolate(strips, scale_factor=2.0, mode="nearest")
        return F.relu(self.bn3(self.conv3(F.relu(self.bn2(strips)))))

    def _fourth(self, narrow: Tensor) -> Tensor:
        # A column's shear is a row's of the transpose. Mirrored, an anti-diagonal is a main one.
        mirrored = narrow.flip(2) if self.both else narrow
        strip = unshear(self.deconv4(shear(mirrored.mT).mT).mT).mT
        return strip.flip(2) if self.both else strip


def _lateral(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU())


class Decoder(nn.Module):
    """Four strip blocks with skip connections: the pyramid's 256 channels at stride 8 -> 64 at the image's size."""

    def __init__(self, *, both: bool) -> None:
        super().__init__()
        self.decoder4 = StripBlock(256, 256, up=False, both=both)
        self.decoder3 = StripBlock(512, 128, up=False, both=both)
        self.decoder2 = StripBlock(256, 64, up=True, both=both)
        self.decoder1 = StripBlock(128, 64, up=True, both=both)
        self.conv_e3 = _lateral(1024, 256)
        self.conv_e2 = _lateral(512, 128)
        self.conv_e1 = _lateral(256, 64)

    def forward(self, e1: Tensor, e2: Tensor, e3: Tensor, pooled: Tensor) -> Tensor:
        features = torch.cat([self.decoder4(pooled), self.conv_e3(e3)], dim=1)
        features = torch.cat([self.decoder3(features), self.conv_e2(e2)], dim=1)
        features = torch.cat([self.decoder2(features), self.conv_e1(e1)], dim=1)
        return F.interpolate(self.decoder1(features), scale_factor=2.0, mode="bilinear", align_corners=True)


class Squeeze(nn.Module):
    """Squeeze and excitation: every channel is scaled by a gate in (0, 1) that the channels' means set."""

    def __init__(self) -> None:
        super().__init__()
        wide, narrow = NEIGHBOURS, NEIGHBOURS // 3
        self.fc = nn.Sequential(
            nn.Linear(wide, narrow, bias=False), nn.ReLU(), nn.Linear(narrow, wide, bias=False), nn.Sigmoid()
        )

    def forward(self, features: Tensor) -> Tensor:
        return features * self.fc(features.mean(dim=(2, 3)))[..., None, None]


def _head(outputs: int, kernel: int, dilation: int) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    last = nn.Conv2d(64, outputs, kernel, padding=padding, dilation=dilation)
    return nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), last)


class Heads(nn.Module):
    """The segmentation head, and a connectivity head for near and one for far neighbours (``_d1``: dilation 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.seg_branch = _head(1, kernel=1, dilation=1)
        self.connect_branch = _head(NEIGHBOURS, kernel=3, dilation=1)
        self.se = Squeeze()
        self.connect_branch_d1 = _head(NEIGHBOURS, kernel=3, dilation=3)
        self.se_d1 = Squeeze()

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        near, far = self.connect_branch(features), self.connect_branch_d1(features)
        return self.seg_branch(features), self.se(near), self.se_d1(far)


class CoANetNetwork(nn.Module):
    """CoANet. Images of rows and columns divisible by 8, which need not be equal as in the released code.

    Args:
        both: see `StripBlock`.

    Example:
        >>> network = CoANetNetwork().eval()
        >>> with torch.inference_mode():
        ...     tuple(network(torch.rand(1, 3, 32, 32)).shape)
        (1, 1, 32, 32)
    """

    def __init__(self, *, both: bool = True) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.aspp = AtrousPooling()
        self.decoder = Decoder(both=both)
        self.connect = Heads()
        for part in (self.aspp, self.decoder, self.connect):
            for module in part.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight)

    def decode(self, images: Tensor) -> Tensor:
        """Normalised ``Bx3xHxW`` -> the features that all heads read, ``Bx64xHxW``."""
        e1, e2, e3, e4 = self.backbone.stages(images)
        return self.decoder(e1, e2, e3, self.aspp(e4))

    def heads(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised ``Bx3xHxW`` -> logits: road ``Bx1xHxW``, connectivity ``Bx9xHxW`` of near and of far neighbours.

        The connectivity logits are scaled by a `Squeeze`, as in the released code.
        """
        return self.connect(self.decode(images))

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """Normalised ``Bx3xHxW`` -> logits ``Bx1xHxW``; in train mode, `heads`."""
        return self.heads(images) if self.training else self.connect.seg_branch(self.decode(images))
