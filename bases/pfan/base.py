"""PFAN's recipe: that of its PyTorch form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn
from torchvision.transforms import v2

from bench.bases.parts.framing import Framing
from bench.bases.parts.origin import Origin
from bench.bases.parts.trained import TrainedBase
from bench.bases.parts.vgg import load_vgg16
from bench.bases.pfan.augmentation import Brightness
from bench.bases.pfan.loss import pfan_loss
from bench.bases.pfan.network import High, PyramidFeatureAttention
from bench.contracts import UserError
from bench.training.encoders import imagenet_state
from bench.training.recipe import Schedule


@dataclass(kw_only=True)
class Pfan(TrainedBase):
    """Pyramid Feature Attention Network: 16,381,607 parameters.

    The PyTorch form, which PatchRefineNet's authors used; its state dict loads as it is. It gives out a sigmoid, here
    left out. Of the Keras form of PFAN's authors only the 1x1 kernel is to be had (``high="1x1"``: 16,184,999
    parameters). Left out are its dropout of 0.3 after VGG16's blocks, its channel order (Caffe's means, of BGR,
    subtracted from RGB), and that its batch norm uses the batch's own statistics at test time, which makes a map
    depend on the images beside it: running statistics here, for which there is no switch.

    The recipe is the PyTorch form's, but for two things: best epoch and schedule go by val's IoU instead of its mean
    absolute error, and VGG16's weights are torchvision's. Its rate is divided by 1.1 after every epoch beyond the
    fourth in a row that is no better, as the count does not begin anew (``schedule=plateau`` begins it anew), until
    the ninth ends it. Images are padded to a square with as many rows above as below; where that is a pixel
    short of a square, the rest is stretched (``resize=pad`` pads by the odd pixel). Scores are taken without the
    padding.

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
    version = 2

    size: int = 256
    resize: Framing = "pad-alike"
    epochs: int = 391
    batch: int = 4
    lr: float = 4e-4
    schedule: Schedule = "stale"
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
        return pfan_loss(*outputs, mask, foreground=self.foreground, edge=self.edge)

    def augmentation(self) -> Any:
        """The authors': up to an eighth cut off each side, flipped, turned by up to 25 degrees, `Brightness`."""
        return v2.Compose(
            [
                v2.RandomResizedCrop(self.size, scale=((7 / 8) ** 2, 1), ratio=(7 / 8, 8 / 7)),
                v2.RandomHorizontalFlip(),
                v2.RandomRotation(25, v2.InterpolationMode.BILINEAR),
                Brightness(),
            ]
        )
