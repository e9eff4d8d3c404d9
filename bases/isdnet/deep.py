"""ISDNet's deep branch: a dilated ResNet-18 and atrous pooling on a quarter of the image's rows and columns."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, ResNet

from bench.bases.isdnet.parts import Predictor, conv_norm_relu

STAGE3_DILATIONS = (1, 2)
STAGE4_DILATIONS = (2, 4)
ATROUS_DILATIONS = (12, 24, 36)


def _stem() -> nn.Sequential:
    layers: list[nn.Module] = []
    for inside, outside, stride in ((3, 32, 2), (32, 32, 1), (32, 64, 1)):
        layers += [nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()]
    return nn.Sequential(*layers)


class Backbone(ResNet):
    """ResNet-18 with a stem of three 3x3 convolutions (OpenMMLab's v1c) and an output stride of 8.

    In the third and fourth stage each block's first convolution is dilated instead of strided.
    """

    def __init__(self) -> None:
        super().__init__(BasicBlock, [2, 2, 2, 2])
        del self.fc, self.conv1, self.bn1
        self.stem = _stem()
        for stage, dilations in ((self.layer3, STAGE3_DILATIONS), (self.layer4, STAGE4_DILATIONS)):
            stage[0].conv1.stride = stage[0].downsample[0].stride = (1, 1)
            for block, dilation in zip(stage, dilations, strict=True):
                block.conv1.dilation = block.conv1.padding = (dilation, dilation)

    def stages(self, images: Tensor) -> list[Tensor]:
        """``Bx3xHxW`` -> 64, 128, 256 and 512 channels at strides 4, 8, 8 and 8."""
        features = self.maxpool(self.stem(images))
        outputs = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            features = stage(features)
            outputs.append(features)
        return outputs


class DeepHead(nn.Module):
    """Atrous spatial pyramid pooling with the image's mean: ``Bx512xHxW`` -> ``Bx128xHxW``, and its own classes."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv_seg = nn.Conv2d(128, classes, 1)
        self.image_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_norm_relu(512, 128, 1, pooled=True))
        dilated = [conv_norm_relu(512, 128, dilation=dilation) for dilation in ATROUS_DILATIONS]
        self.aspp_modules = nn.ModuleList([conv_norm_relu(512, 128, 1), *dilated])
        self.bottleneck = conv_norm_relu(5 * 128, 128)
        self.dropout = nn.Dropout2d(0.1)

    def forward(self, features: Tensor) -> Tensor:
        """The features that the heads and the fusion read."""
        # Of one value, so every interpolation is a copy.
        mean = self.image_pool(features).expand(-1, -1, *features.shape[-2:])
        return self.bottleneck(torch.cat([mean, *(branch(features) for branch in self.aspp_modules)], dim=1))

    def classify(self, features: Tensor) -> Tensor:
        """`forward`'s features -> class logits, ``BxNxHxW``."""
        return self.conv_seg(self.dropout(features))


class StageHead(nn.Module):
    """Class logits from the deep branch's third stage: ``Bx256xHxW`` -> ``BxNxHxW``. In training only."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv_seg = nn.Conv2d(64, classes, 1)
        self.convs = nn.Sequential(conv_norm_relu(256, 64))
        self.dropout = nn.Dropout2d(0.1)

    def forward(self, features: Tensor) -> Tensor:
        return self.conv_seg(self.dropout(self.convs(features)))


class SuperResolution(nn.Module):
    """The image's detail from the deep features, a loss's material: ``Bx128xHxW`` to 16 times the rows and columns."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = conv_norm_relu(128, 64)
        self.conv2 = conv_norm_relu(64, 64)
        self.conv3 = conv_norm_relu(64, 128)
        self.conv_sr = Predictor(3)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Deep features -> the image's detail ``Bx3x16Hx16W``, and the ``Bx128x16Hx16W`` it is read from."""
        for factor, conv in ((4.0, self.conv1), (2.0, self.conv2), (2.0, self.conv3)):
            features = conv(F.interpolate(features, scale_factor=factor, mode="nearest"))
        return self.conv_sr(features), features
