"""ResUNet++'s recipe: Dice loss, Nadam, a rate that falls on a plateau."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn
from torchvision.transforms import v2

from bench.bases.parts.framing import Interpolation
from bench.bases.parts.losses import dice_loss
from bench.bases.parts.origin import Origin
from bench.bases.parts.polyps import polyp_augmentation
from bench.bases.parts.trained import TrainedBase
from bench.bases.resunetpp.network import OfficialNetwork, PrnNetwork
from bench.training.encoders import EncoderWeights
from bench.training.preprocessing import Preprocessing
from bench.training.recipe import Optimizer, Schedule


@dataclass(kw_only=True)
class ResUNetPlusPlus(TrainedBase):
    """ResUNet++: 4,062,993 parameters, or 14,482,564 as PatchRefineNet's authors used it.

    A residual U-Net with squeeze and excitation, dilated convolutions at its bottom and before its head, and attention,
    trained from scratch. The attention's factor has no sigmoid in either code, and none here.

    The recipe is the ResUNet++ authors': 256 px, Dice loss, Nadam, rate times 0.1 after five epochs without a better
    val value, at least 1e-6, end after ten; they monitor val's loss, we its mean IoU. PatchRefineNet's authors trained
    their network with Adam at 2e-4, batches of 2 at 512 px, binary cross-entropy plus Dice, vertical flips alone, the
    rate divided by 1.1 after more than six epochs without a better val loss, at least 5e-8, end after more than twelve,
    at most 300. But for loss and flips that is::

        resunetpp[variant=prn,size=512,batch=2,optimizer=adam,lr=2e-4,drop=0.909,drop_after=6,lr_end=5e-8,
                  patience=13,epochs=300]

    The ResUNet++ authors' loader resizes with OpenCV's bilinear filter: a file of others is fed that. A training here
    averages areas (``interpolation``).

    Args:
        variant: ``official``, the ResUNet++ authors'; ``prn``, rishikksh20's at twice the width: 3x3 shortcuts, squeeze
            and excitation in the encoder alone and by 16, three dilated branches side by side instead of four summed,
            one attention factor a pixel, bilinear upsampling.
        channels: order of the network's input. Both codes read ``bgr``, and their checkpoints need it; a network
            trained from scratch does not care.

    Example:
        >>> from bases.resunetpp import ResUNetPlusPlus
        >>> sum(parameter.numel() for parameter in ResUNetPlusPlus(size=64).network().parameters())
        4062993
    """

    origin: ClassVar[Origin] = Origin(
        paper="Jha et al., ISM 2019", code="github.com/DebeshJha/ResUNetPlusPlus", licence="no licence file"
    )
    multiple: ClassVar[int] = 8
    authors_interpolation: ClassVar[Interpolation] = "cv2-bilinear"

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
    variant: Literal["official", "prn"] = "official"
    channels: Literal["bgr", "rgb"] = "bgr"

    @property
    def preprocessing(self) -> Preprocessing:
        """Values in [0, 1], in the order of ``channels``."""
        return Preprocessing(bgr=self.channels == "bgr")

    def network(self) -> nn.Module:
        """`OfficialNetwork` or `PrnNetwork`."""
        return OfficialNetwork() if self.variant == "official" else PrnNetwork()

    def loss(self, outputs: Tensor, mask: Tensor) -> Tensor:
        """1 - soft Dice over the batch."""
        return dice_loss(outputs.sigmoid(), mask)

    def augmentation(self) -> v2.Transform:
        """`polyp_augmentation`."""
        return polyp_augmentation(self.size)
