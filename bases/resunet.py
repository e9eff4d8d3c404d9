"""ResUNet (Zhang, Liu and Wang, GRSL 2018), the network PatchRefineNet's Kvasir table calls ResUnet."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from bases.parts.blocks import ResidualBlock, shortcut, stem
from bases.parts.polyps import polyp_augmentation
from bases.parts.trained import Origin, TrainedBase, dice_loss
from bench.training.encoders import EncoderWeights
from bench.training.preprocessing import UNIT, Preprocessing
from bench.training.recipe import Optimizer, Schedule

Variant = Literal["code", "paper"]


@dataclass(kw_only=True)
class ResUNet(TrainedBase):
    """ResUNet: 13,043,009 parameters, or 8,223,809 as the paper draws it.

    A U-Net of pre-activated residual blocks at strides 1, 2, 4 and 8, trained from scratch. Four networks share the
    name; this is the road network of 2018, which the ResUNet++ authors compare with on Kvasir-SEG. There is no official
    code. The recipe is the ResUNet++ authors': RGB / 255 at 256 px, Dice loss, Nadam, rate times 0.1 after five epochs
    without a better val value, at least 1e-6, end after ten. They monitor val's loss, we its mean IoU.

    Args:
        variant: ``code``, rishikksh20's, in wide use: 3x3 convolutions as shortcuts, none normalised in the stem, and
            transposed 2x2 convolutions between the decoder's blocks. ``paper``: 1x1 shortcuts with batch norm, and
            upsampling without parameters (4,819,200 fewer).

    Example:
        >>> from bases.resunet import ResUNet
        >>> sum(parameter.numel() for parameter in ResUNet(size=64).network().parameters())
        13043009
    """

    origin: ClassVar[Origin] = Origin(
        paper="Zhang et al., GRSL 2018", code="github.com/rishikksh20/ResUnet", licence="no licence file"
    )
    multiple: ClassVar[int] = 8

    encoder_weights: EncoderWeights = "none"
    size: int = 256
    epochs: int = 200
    batch: int = 8
    lr: float = 1e-4
    optimizer: Optimizer = "nadam"
    schedule: Schedule = "plateau"
    lr_end: float = 1e-6
    drop: float = 0.1
    drop_after: int = 4
    patience: int | None = 10
    variant: Variant = "code"

    @property
    def preprocessing(self) -> Preprocessing:
        """RGB in [0, 1]."""
        return UNIT

    def network(self) -> nn.Module:
        """`ResUNetwork`."""
        return ResUNetwork(self.variant)

    def loss(self, outputs: Tensor, mask: Tensor) -> Tensor:
        """1 - soft Dice over the batch."""
        return dice_loss(outputs.sigmoid(), mask)

    def augmentation(self) -> v2.Transform:
        """`polyp_augmentation`."""
        return polyp_augmentation(self.size)


class ResUNetwork(nn.Module):
    """The network: images to logits.

    Module names are rishikksh20's, so that ``load_state_dict`` takes a checkpoint of that code as it is. The
    networks differ in the shortcuts' kernels, in batch norm in the stem's shortcut, and in how features grow.

    Args:
        variant: see `ResUNet`.

    Example:
        >>> tuple(ResUNetwork("paper").eval()(torch.rand(1, 3, 16, 24)).shape)
        (1, 1, 16, 24)
    """

    def __init__(self, variant: Variant = "code") -> None:
        super().__init__()
        code = variant == "code"
        kernel = 3 if code else 1
        self.input_layer = stem(64)
        self.input_skip = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1)) if code else shortcut(3, 64, 1)
        self.residual_conv_1 = ResidualBlock(64, 128, 2, kernel)
        self.residual_conv_2 = ResidualBlock(128, 256, 2, kernel)
        self.bridge = ResidualBlock(256, 512, 2, kernel)
        self.upsample_1 = doubled(512, learned=code)
        self.up_residual_conv1 = ResidualBlock(512 + 256, 256, kernel=kernel)
        self.upsample_2 = doubled(256, learned=code)
        self.up_residual_conv2 = ResidualBlock(256 + 128, 128, kernel=kernel)
        self.upsample_3 = doubled(128, learned=code)
        self.up_residual_conv3 = ResidualBlock(128 + 64, 64, kernel=kernel)
        self.output_layer = nn.Sequential(nn.Conv2d(64, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Float ``Bx3xHxW`` in [0, 1], sides a multiple of 8 -> logits ``Bx1xHxW``."""
        whole = self.input_layer(images) + self.input_skip(images)
        half = self.residual_conv_1(whole)
        quarter = self.residual_conv_2(half)
        features = self.upsample_1(self.bridge(quarter))
        features = self.upsample_2(self.up_residual_conv1(torch.cat([features, quarter], dim=1)))
        features = self.upsample_3(self.up_residual_conv2(torch.cat([features, half], dim=1)))
        return self.output_layer(self.up_residual_conv3(torch.cat([features, whole], dim=1)))


def doubled(channels: int, learned: bool) -> nn.Module:
    """Twice the side: a transposed 2x2 convolution, or each pixel four times."""
    if not learned:
        return nn.Upsample(scale_factor=2.0, mode="nearest")
    return nn.Sequential(OrderedDict(upsample=nn.ConvTranspose2d(channels, channels, 2, stride=2)))
