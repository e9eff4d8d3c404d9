"""ResUNet's recipe: the ResUNet++ authors'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn
from torchvision.transforms import v2

from bench.bases.parts.losses import dice_loss
from bench.bases.parts.origin import Origin
from bench.bases.parts.polyps import polyp_augmentation
from bench.bases.parts.trained import TrainedBase
from bench.bases.resunet.network import ResUNetwork, Variant
from bench.training.encoders import EncoderWeights
from bench.training.preprocessing import Preprocessing
from bench.training.recipe import Optimizer, Schedule


@dataclass(kw_only=True)
class ResUNet(TrainedBase):
    """ResUNet: 13,043,009 parameters, or 8,223,809 as the paper draws it.

    A U-Net of pre-activated residual blocks at strides 1, 2, 4 and 8, trained from scratch. Four networks share the
    name; this is the road network of 2018, which the ResUNet++ authors compare with on Kvasir-SEG. There is no official
    code. The recipe is the ResUNet++ authors': values / 255 at 256 px in the order that OpenCV reads, blue first; Dice
    loss, Nadam, rate times 0.1 after five epochs without a better val value, at least 1e-6, end after ten. They monitor
    val's loss, we its mean IoU.

    Args:
        variant: ``code``, rishikksh20's, in wide use: 3x3 convolutions as shortcuts, none normalised in the stem, and
            transposed 2x2 convolutions between the decoder's blocks. ``paper``: 1x1 shortcuts with batch norm, and
            upsampling without parameters (4,819,200 fewer).
        channels: order of the network's input: ``bgr``, as the loaders of the ResUNet++ and the PatchRefineNet authors
            feed it; ``rgb`` for a checkpoint that was trained so: by rishikksh20's loader, or here until this was a
            parameter. A network trained from scratch does not care.

    Example:
        >>> from bases.resunet import ResUNet
        >>> sum(parameter.numel() for parameter in ResUNet(size=64).network().parameters())
        13043009
    """

    origin: ClassVar[Origin] = Origin(
        paper="Zhang et al., GRSL 2018", code="github.com/rishikksh20/ResUnet", licence="no licence file"
    )
    multiple: ClassVar[int] = 8
    version = 2

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
    channels: Literal["bgr", "rgb"] = "bgr"

    @property
    def preprocessing(self) -> Preprocessing:
        """Values in [0, 1], in the order of ``channels``."""
        return Preprocessing(bgr=self.channels == "bgr")

    def network(self) -> nn.Module:
        """`ResUNetwork`."""
        return ResUNetwork(self.variant)

    def loss(self, outputs: Tensor, mask: Tensor) -> Tensor:
        """1 - soft Dice over the batch."""
        return dice_loss(outputs.sigmoid(), mask)

    def augmentation(self) -> v2.Transform:
        """`polyp_augmentation`."""
        return polyp_augmentation(self.size)
