"""ResUNet-a's recipe: the authors' loss, the rest ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from bench.bases.parts.origin import Origin
from bench.bases.parts.trained import TrainedBase
from bench.bases.resunet_a.loss import tanimoto_loss, targets
from bench.bases.resunet_a.network import Depth, ResUNetANetwork
from bench.training.encoders import EncoderWeights
from bench.training.preprocessing import UNIT, Preprocessing


@dataclass(kw_only=True)
class ResUNetA(TrainedBase):
    """ResUNet-a: 58,032,902 parameters with six levels (d6), 184,532,994 with seven (d7).

    A U-Net of residual units with parallel dilations and pyramid pooling, trained from scratch on four tasks at once:
    the mask, its boundary, the distance to the background, and the image's own hue, saturation and value. The authors'
    checkpoints are MXNet's and do not load.

    The authors' loss is used; the rest of the recipe is ours: Adam at 1e-3 with a cosine decay, batches of 8, flips and
    quarter turns. Their code takes only sides whose pooling tiles are whole pixels, multiples of 256; other sides are
    our extension, see `PyramidPooling`.

    Args:
        depth: levels of the encoder.

    Example:
        >>> from bases.resunet_a import ResUNetA
        >>> sum(parameter.numel() for parameter in ResUNetA(size=64).network().parameters())
        58032902
    """

    origin: ClassVar[Origin] = Origin(
        paper="Diakogiannis et al., ISPRS Journal 2020",
        code="github.com/feevos/resuneta",
        licence="CSIRO variation of BSD/MIT",
    )
    multiple: ClassVar[int] = 64  # what d7 needs; d6 could do with 32

    encoder_weights: EncoderWeights = "none"
    size: int = 256
    epochs: int = 200
    batch: int = 8
    lr: float = 1e-3
    depth: Depth = 6

    @property
    def preprocessing(self) -> Preprocessing:
        """RGB in [0, 1]: the colour task's target is made of it."""
        return UNIT

    def network(self) -> nn.Module:
        """`ResUNetANetwork`."""
        return ResUNetANetwork(self.depth)

    def loss(self, outputs: dict[str, Tensor], mask: Tensor) -> Tensor:
        """Tanimoto with complement, summed over mask, boundary, distance and colour."""
        wanted = targets(mask, outputs["image"])
        return torch.stack([tanimoto_loss(outputs[task].sigmoid(), wanted[task]) for task in wanted]).sum()
