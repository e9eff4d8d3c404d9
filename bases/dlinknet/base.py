"""D-LinkNet's recipe: what its network sees, its rate, its augmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn
from torchvision.transforms import v2

from bench.bases.dlinknet.network import DLinkNet34, DLinkNetOf
from bench.bases.parts.origin import Origin
from bench.bases.parts.trained import TrainedBase
from bench.training.augment import Turn
from bench.training.checkpoints import fit_state
from bench.training.encoders import imagenet_state, load_encoder, preprocessing
from bench.training.preprocessing import Preprocessing
from bench.training.recipe import Schedule

RESNET34 = "resnet34"

AUTHORS = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.3125, 0.3125, 0.3125))
"""x / 255 * 3.2 - 1.6."""


@dataclass(kw_only=True)
class DLinkNet(TrainedBase):
    """D-LinkNet34: 31,096,129 parameters.

    A ResNet-34, dilated convolutions at its bottom, and LinkNet's decoder. The network, the values it sees
    (x / 255 * 3.2 - 1.6), whole tiles of 1024 px, Adam, the loss and the kinds of augmentation are the authors'.
    What differs:

    - The rate is divided by five after four epochs without a better mean IoU on val, then after four more, and the last
      weights are trained on. The authors monitor the mean training loss, divide in the fourth, fifth and sixth such
      epoch, and go back to the best weights. Both end with the seventh.
    - Dice adds one pixel above and below, so that a batch without roads has one.
    - Hue changes by up to 60 degrees, as theirs, but runs round the circle; saturation and value change by factors of
      up to 2 and 6 percent, theirs by as much of their full range. Their change of aspect (10 percent) is left out.

    The authors' test protocol sums the eight flips and quarter turns: ``dlinknet[tta=turns]``.

    Args:
        encoder: ``resnet34`` is the authors' network. Another name of segmentation-models-pytorch, or ``tu-NAME`` of
            timm, stands under the same centre and decoder, with its own channels and its own normalisation;
            ``encoder_weights`` then is a file with that library's names.
        channels: order of the network's input. The default suits ImageNet's weights, which were trained on RGB. The
            released code feeds them the ``bgr`` that OpenCV reads, and its checkpoints need that:
            ``dlinknet[weights=FILE,channels=bgr,tta=turns]``.

    Example:
        >>> from bases.dlinknet import DLinkNet
        >>> sum(parameter.numel() for parameter in DLinkNet(size=64).network().parameters())
        31096129
    """

    origin: ClassVar[Origin] = Origin(
        paper="Zhou et al., CVPR-W 2018",
        code="github.com/zlckanata/DeepGlobe-Road-Extraction-Challenge",
        licence="MIT",
    )
    multiple: ClassVar[int] = 32

    size: int = 1024
    epochs: int = 300
    batch: int = 4
    lr: float = 2e-4
    schedule: Schedule = "plateau"
    lr_end: float = 5e-7
    drop: float = 0.2
    drop_after: int = 3
    patience: int | None = 7
    encoder: str = RESNET34
    channels: Literal["rgb", "bgr"] = "rgb"

    @property
    def preprocessing(self) -> Preprocessing:
        """[-1.6, 1.6] for the authors' network; else what the encoder's ImageNet weights were trained with."""
        own = AUTHORS if self.encoder == RESNET34 else preprocessing(self.encoder)
        if self.channels == "rgb":
            return own
        return Preprocessing(mean=own.mean[::-1], std=own.std[::-1], bgr=True)

    def network(self) -> nn.Module:
        """`DLinkNet34`, or `DLinkNetOf` another encoder."""
        return DLinkNet34() if self.encoder == RESNET34 else DLinkNetOf(self.encoder)

    def pretrain(self, network: nn.Module) -> None:
        """ImageNet weights into the encoder. Raises UserError where they cannot be had or do not fit."""
        if isinstance(network, DLinkNetOf):
            load_encoder(network.encoder, self.encoder, self.encoder_weights)
        elif isinstance(network, DLinkNet34) and (state := imagenet_state(RESNET34, self.encoder_weights)):
            fit_state(network.backbone(), state, f"encoder_weights={self.encoder_weights}", surplus=True)

    def augmentation(self) -> v2.Transform:
        """Colours and place, each with probability one half, then flips and quarter turns."""
        colours = v2.ColorJitter(brightness=15 / 255, saturation=5 / 255, hue=30 / 180)
        place = v2.RandomAffine(0, translate=(0.1, 0.1), scale=(0.9, 1.1), interpolation=v2.InterpolationMode.BILINEAR)
        return v2.Compose([v2.RandomApply([colours]), v2.RandomApply([place]), Turn()])
