"""RFCN's networks: FCN-8s and a light one, each run again on its own last map."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.bases.parts.saliency_prior import Prior, SaliencyPrior
from bench.bases.parts.vgg import outputs_at, vgg16_convolutions

POOL3, POOL4, POOL5 = 16, 23, 30
"""VGG16's layers whose results FCN-8s reads."""

CONV3, CONV4, CONV5 = 15, 22, 29
"""VGG16's layers whose results the light network reads: the last ReLU before each of those."""

Variant = Literal["8s", "lite"]


class Fcn8sDecoder(nn.Module):
    """FCN-8s's scores of three levels, upsampled by learned deconvolutions that begin bilinear.

    Paddings are such that input and output share their centre at every level: nothing is cropped.

    Args:
        channels: of the levels, strides 8, 16 and 32.
    """

    def __init__(self, channels: tuple[int, int, int]) -> None:
        super().__init__()
        self.score_pool3 = nn.Conv2d(channels[0], 2, 1)
        self.score_pool4 = nn.Conv2d(channels[1], 2, 1)
        self.score = nn.Conv2d(channels[2], 2, 1)
        self.upscore2 = _deconvolution(2)
        self.upscore_pool4 = _deconvolution(2)
        self.upscore8 = _deconvolution(8)

    def forward(self, level3: Tensor, level4: Tensor, level5: Tensor) -> Tensor:
        """Levels of ``S/8``, ``S/16`` and ``S/32`` -> scores ``Bx2xSxS`` of background and foreground."""
        scores = self.upscore2(self.score(level5)) + self.score_pool4(level4)
        scores = self.upscore_pool4(scores) + self.score_pool3(level3)
        return self.upscore8(scores)


class Fcn8s(nn.Module):
    """FCN-8s on VGG16 with a fourth input channel; 134,272,006 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.features = vgg16_convolutions(4)
        self.fc6 = nn.Conv2d(512, 4096, 7, padding=3)
        self.fc7 = nn.Conv2d(4096, 4096, 1)
        self.decoder = Fcn8sDecoder((256, 512, 4096))

    def forward(self, image: Tensor) -> Tensor:
        """RGB and prior ``Bx4xSxS``, S a multiple of 32 -> foreground logits ``Bx1xSxS``."""
        level3, level4, level5 = outputs_at(self.features, image, (POOL3, POOL4, POOL5))
        level5 = F.dropout(F.relu(self.fc6(level5)), 0.5, self.training)
        level5 = F.dropout(F.relu(self.fc7(level5)), 0.5, self.training)
        background, foreground = self.decoder(level3, level4, level5).split(1, dim=1)
        return foreground - background


class FcnLiteDecoder(nn.Module):
    """One score from three levels of one size, the upper one first; nothing but 1x1 convolutions between them."""

    def __init__(self) -> None:
        super().__init__()
        self.reduce3, self.reduce4, self.reduce5 = (nn.Conv2d(channels, 32, 1) for channels in (256, 512, 512))
        self.score5, self.score4, self.score3 = (nn.Conv2d(channels, 1, 1) for channels in (32, 33, 33))

    def forward(self, level3: Tensor, level4: Tensor, level5: Tensor) -> Tensor:
        """Levels of ``S/4`` -> foreground logits ``Bx1xSxS``."""
        logits = self.score5(self.reduce5(level5))
        logits = self.score4(torch.cat([self.reduce4(level4), logits], 1))
        logits = self.score3(torch.cat([self.reduce3(level3), logits], 1))
        return F.interpolate(logits, scale_factor=4, mode="nearest")


class FcnLite(nn.Module):
    """VGG16 at stride 4, a fourth input channel, and 41,157 parameters on top of it; 14,756,421 in all."""

    def __init__(self) -> None:
        super().__init__()
        self.features = vgg16_convolutions(4)[:POOL5]
        for pool in (POOL3, POOL4):
            self.features[pool] = nn.Identity()
        for dilation, first in ((2, POOL3 + 1), (4, POOL4 + 1)):
            for convolution in self.features[first : first + 6 : 2]:
                assert isinstance(convolution, nn.Conv2d)
                convolution.dilation = convolution.padding = (dilation, dilation)
        self.decoder = FcnLiteDecoder()

    def forward(self, image: Tensor) -> Tensor:
        """RGB and prior ``Bx4xSxS``, S a multiple of 4 -> foreground logits ``Bx1xSxS``."""
        return self.decoder(*outputs_at(self.features, image, (CONV3, CONV4, CONV5)))


class RecurrentFcn(nn.Module):
    """One network, run several times: on the image and a saliency prior, then on the image and its own last map.

    Args:
        variant: `Fcn8s` or `FcnLite`.
        steps: how many times.
        prior: of the first step.
        mean, std: of the images' normalisation.
    """

    def __init__(
        self, variant: Variant, steps: int, prior: Prior, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.steps = steps
        self.prior = SaliencyPrior(prior, mean, std)
        self.step: Fcn8s | FcnLite = Fcn8s() if variant == "8s" else FcnLite()

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """``Bx3xSxS``, S a multiple of 32 -> the last step's logits ``Bx1xSxS``; in train mode all steps', last first.

        The gradient of a step passes through the map it was fed to the steps before it.
        """
        fed, outputs = self.prior(image), list[Tensor]()
        for _ in range(self.steps):
            logits = self.step(torch.cat([image, fed], 1))
            fed = logits.sigmoid()
            outputs.insert(0, logits)
        return tuple(outputs) if self.training else outputs[0]


def _deconvolution(stride: int) -> nn.ConvTranspose2d:
    """Two channels, ``stride`` times the side; begins as bilinear interpolation (``align_corners=False``)."""
    layer = nn.ConvTranspose2d(2, 2, 2 * stride, stride, padding=stride // 2, bias=False)
    line = 1 - ((torch.arange(2 * stride) + 0.5) / stride - 1).abs()
    with torch.no_grad():
        layer.weight.zero_()
        for channel in range(2):
            layer.weight[channel, channel].copy_(line[:, None] * line)
    return layer
