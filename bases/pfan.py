"""Pyramid Feature Attention Network (Zhao and Wu, CVPR 2019)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2

from bases.parts.framing import Framing
from bases.parts.vgg import load_vgg16, outputs_at, vgg16_convolutions
from bases.trained import Origin, TrainedBase
from bench.contracts import UserError
from bench.training.encoders import imagenet_state
from bench.training.recipe import Schedule

High = Literal["3x3", "1x1"]

TAPS = (3, 8, 15, 22, 29)
"""VGG16's conv1_2, conv2_2, conv3_3, conv4_3 and conv5_3, each after its ReLU."""


class ContextPyramid(nn.Module):
    """Context at four dilations: ``BxCxHxW`` -> ``Bx128xHxW``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_1_1 = nn.Conv2d(channels, 32, 1, bias=False)
        self.conv_dil_3 = nn.Conv2d(channels, 32, 3, padding=3, dilation=3, bias=False)
        self.conv_dil_5 = nn.Conv2d(channels, 32, 3, padding=5, dilation=5, bias=False)
        self.conv_dil_7 = nn.Conv2d(channels, 32, 3, padding=7, dilation=7, bias=False)
        self.bn = nn.BatchNorm2d(128)

    def forward(self, features: Tensor) -> Tensor:
        branches = (self.conv_1_1, self.conv_dil_3, self.conv_dil_5, self.conv_dil_7)
        return F.relu(self.bn(torch.cat([branch(features) for branch in branches], 1)))


class ChannelAttention(nn.Module):
    """Squeeze and excitation: ``BxCxHxW`` -> gates ``BxC`` in (0, 1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(channels, channels // 4)
        self.linear_2 = nn.Linear(channels // 4, channels)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear_2(F.relu(self.linear_1(features.mean((-2, -1))))).sigmoid()


class SpatialAttention(nn.Module):
    """Two separable 9x9 kernels, rows first and columns first: ``BxCxHxW`` -> gates ``Bx1xHxW`` in [0.5, 1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.grp1_conv1k = nn.Conv2d(channels, channels // 2, (1, 9), padding=(0, 4))
        self.grp1_bn1 = nn.BatchNorm2d(channels // 2)
        self.grp1_convk1 = nn.Conv2d(channels // 2, 1, (9, 1), padding=(4, 0))
        self.grp1_bn2 = nn.BatchNorm2d(1)
        self.grp2_convk1 = nn.Conv2d(channels, channels // 2, (9, 1), padding=(4, 0))
        self.grp2_bn1 = nn.BatchNorm2d(channels // 2)
        self.grp2_conv1k = nn.Conv2d(channels // 2, 1, (1, 9), padding=(0, 4))
        self.grp2_bn2 = nn.BatchNorm2d(1)

    def forward(self, features: Tensor) -> Tensor:
        rows = F.relu(self.grp1_bn1(self.grp1_conv1k(features)))
        rows = F.relu(self.grp1_bn2(self.grp1_convk1(rows)))
        columns = F.relu(self.grp2_bn1(self.grp2_convk1(features)))
        columns = F.relu(self.grp2_bn2(self.grp2_conv1k(columns)))
        return (rows + columns).sigmoid()


class PyramidFeatureAttention(nn.Module):
    """VGG16, context on its three upper levels under channel attention, which gate the two lower ones in space.

    Modules are named as in the released PyTorch state dict, which loads as it is.

    Args:
        high: side of the kernel that mixes the three upper levels.
    """

    def __init__(self, high: High) -> None:
        super().__init__()
        self.vgg16 = vgg16_convolutions()[:-1]
        self.cpfe_conv3_3 = ContextPyramid(256)
        self.cpfe_conv4_3 = ContextPyramid(512)
        self.cpfe_conv5_3 = ContextPyramid(512)
        self.cha_att = ChannelAttention(3 * 128)
        kernel = 3 if high == "3x3" else 1
        self.hl_conv1 = nn.Conv2d(3 * 128, 64, kernel, padding=kernel // 2)
        self.hl_bn1 = nn.BatchNorm2d(64)
        self.ll_conv_1 = nn.Conv2d(64, 64, 3, padding=1)
        self.ll_bn_1 = nn.BatchNorm2d(64)
        self.ll_conv_2 = nn.Conv2d(128, 64, 3, padding=1)
        self.ll_bn_2 = nn.BatchNorm2d(64)
        self.ll_conv_3 = nn.Conv2d(128, 64, 3, padding=1)
        self.ll_bn_3 = nn.BatchNorm2d(64)
        self.spa_att = SpatialAttention(64)
        self.ff_conv_1 = nn.Conv2d(128, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """``Bx3xHxW``, sides multiples of 16 -> logits ``Bx1xHxW``; in train mode as `regularised`."""
        logits, regulariser = self.regularised(image)
        return (logits, regulariser) if self.training else logits

    def regularised(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``Bx1xHxW``, and the mean of the channel gates, a scalar that the loss adds."""
        conv1, conv2, conv3, conv4, conv5 = outputs_at(self.vgg16, image, TAPS)
        context = [self.cpfe_conv3_3(conv3), _up(self.cpfe_conv4_3(conv4), 2), _up(self.cpfe_conv5_3(conv5), 4)]
        high = torch.cat(context, 1)
        gates = self.cha_att(high)
        high = _up(F.relu(self.hl_bn1(self.hl_conv1(high * gates[:, :, None, None]))), 4)
        low1 = F.relu(self.ll_bn_1(self.ll_conv_1(conv1)))
        low2 = _up(F.relu(self.ll_bn_2(self.ll_conv_2(conv2))), 2)
        low = F.relu(self.ll_bn_3(self.ll_conv_3(torch.cat([low1, low2], 1))))
        return self.ff_conv_1(torch.cat([low * self.spa_att(high), high], 1)), gates.mean()


def _up(features: Tensor, factor: int) -> Tensor:
    return F.interpolate(features, scale_factor=factor, mode="bilinear", align_corners=True)


def edges(maps: Tensor) -> Tensor:
    """How much a pixel exceeds its 8 neighbours: relu(tanh(Laplacian)) of ``Bx1xHxW``, zeros around the image."""
    kernel = maps.new_full((1, 1, 3, 3), -1.0)
    kernel[..., 1, 1] = 8.0
    return F.conv2d(maps, kernel, padding=1).tanh().relu()


@dataclass(kw_only=True)
class Pfan(TrainedBase):
    """Pyramid Feature Attention Network: 16,381,607 parameters.

    The PyTorch form, which PatchRefineNet's authors used; its state dict loads as it is. It gives out a sigmoid, here
    left out. Of the Keras form of PFAN's authors only the 1x1 kernel is to be had (``high="1x1"``: 16,184,999
    parameters). Left out are its dropout of 0.3 after VGG16's blocks, its channel order (Caffe's means, of BGR,
    subtracted from RGB), and that its batch norm uses the batch's own statistics at test time, which makes a map
    depend on the images beside it: running statistics here, for which there is no switch.

    The recipe is the PyTorch form's, but for two things: best epoch and plateau go by val's IoU instead of its mean
    absolute error, and VGG16's weights are torchvision's. Images are padded to a square; scores are taken
    without the padding.

    Args:
        high: kernel that mixes the three upper levels: ``3x3``, or ``1x1`` as in Keras.
        foreground: weight of foreground pixels in the cross-entropy.
        edge: share of the edge maps' cross-entropy in the loss; the map's own has the rest.

    Example:
        >>> from bases.pfan import Pfan
        >>> sum(parameter.numel() for parameter in Pfan().network().parameters())
        16381607
    """

    origin: ClassVar[Origin] = Origin(
        paper="Zhao and Wu, CVPR 2019", code="github.com/savinay95n/PatchRefineNet (after sairajk's)", licence="GPL-3"
    )
    multiple: ClassVar[int] = 16

    size: int = 256
    resize: Framing = "pad"
    epochs: int = 391
    batch: int = 4
    lr: float = 4e-4
    schedule: Schedule = "plateau"
    drop: float = 1 / 1.1
    drop_after: int = 4
    lr_end: float = 5e-7
    patience: int | None = 9
    high: High = "3x3"
    foreground: float = 1.12
    edge: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.foreground < math.inf:
            raise UserError(f"foreground is {self.foreground}", "foreground=", "give a weight above 0")
        if not 0 <= self.edge <= 1:
            raise UserError(f"edge is {self.edge}", "edge=", "give a share from 0 to 1")

    def network(self) -> PyramidFeatureAttention:
        """See `PyramidFeatureAttention`."""
        return PyramidFeatureAttention(self.high)

    def pretrain(self, network: nn.Module) -> None:
        """VGG16's convolutions."""
        assert isinstance(network, PyramidFeatureAttention)
        state = imagenet_state("vgg16", self.encoder_weights)
        if state is not None:
            load_vgg16(network.vgg16, state, f"encoder_weights={self.encoder_weights}")

    def loss(self, outputs: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        """0.7 weighted cross-entropy + 0.3 cross-entropy of edges + mean channel gate.

        Args:
            outputs: logits ``Bx1xSxS`` and the regulariser.
            mask: ``Bx1xSxS`` of 0 and 1.
        """
        logits, regulariser = outputs
        weight = torch.where(mask > 0, self.foreground, 1.0)
        # Probabilities near 0 and 1, and the cross-entropy of their edges, need float32.
        with torch.autocast(logits.device.type, enabled=False):
            whole = F.binary_cross_entropy_with_logits(logits, mask, weight)
            outline = F.binary_cross_entropy(edges(logits.sigmoid()), edges(mask))
        return (1 - self.edge) * whole + self.edge * outline + regulariser

    def augmentation(self) -> Any:
        """What the Keras form does: up to an eighth cut off each side, flipped, turned by up to 25 degrees, recoloured.

        Brightness is multiplied by 0.84 to 1.16; there it is shifted by up to 20 of 255, the same at mid-grey.
        """
        return v2.Compose(
            [
                v2.RandomResizedCrop(self.size, scale=((7 / 8) ** 2, 1), ratio=(7 / 8, 8 / 7)),
                v2.RandomHorizontalFlip(),
                v2.RandomRotation(25, v2.InterpolationMode.BILINEAR),
                v2.ColorJitter(brightness=0.16, contrast=0.5),
            ]
        )
