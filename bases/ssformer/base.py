"""SSFormer's recipe: the released code's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn
from torchvision.transforms import v2

from bench.bases.parts.framing import Interpolation
from bench.bases.parts.origin import Origin
from bench.bases.parts.trained import TrainedBase
from bench.bases.ssformer.augmentation import Border, Sharpness
from bench.bases.ssformer.loss import ssformer_loss
from bench.bases.ssformer.network import ENCODER, SSFormerNetwork
from bench.training.encoders import load_encoder
from bench.training.optimisers import Groups
from bench.training.recipe import Optimizer, Schedule


@dataclass(kw_only=True)
class SSFormer(TrainedBase):
    """SSFormer-S: 29,572,545 parameters, of which 29,309,889 are used.

    SegFormer's MiT-B2 encoder (through segmentation-models-pytorch, under NVIDIA's Source Code License) and a decoder
    that adds one level after the other. The released code carries a fusion that nothing uses (``linear_fuse``, 262,656
    parameters): it is kept, untrained, so that a released checkpoint loads. The recipe is that code's with three
    changes: no warm-up in the first epoch, masks that stay binary when they are resized, and an end after 600 epochs of
    at most 2000, when the rate has fallen a thousandfold. Their loader resizes with Pillow's bilinear filter: a
    checkpoint of theirs is fed that. A training here averages areas (``interpolation``).

    Args:
        sigmoid: ``once``: the loss takes logits. ``released``: it takes their sigmoid for logits, as the released
            training does; the probabilities in the loss then lie between 0.5 and 0.73.

    Example:
        >>> from bases.ssformer import SSFormer
        >>> sum(parameter.numel() for parameter in SSFormer().network().parameters())
        29572545
    """

    origin: ClassVar[Origin] = Origin(
        paper="Wang et al., MICCAI 2022", code="github.com/Qiming-Huang/ssformer", licence="no licence file"
    )
    requires = ("segmentation_models_pytorch",)
    authors_interpolation: ClassVar[Interpolation] = "pil-bilinear"

    size: int = 352
    epochs: int = 600
    batch: int = 32
    lr: float = 1e-4
    optimizer: Optimizer = "adamw"
    weight_decay: float = 0.01
    schedule: Schedule = "step"
    drop: float = 0.1
    drop_after: int = 200
    sigmoid: Literal["once", "released"] = "once"

    def network(self) -> nn.Module:
        """`SSFormerNetwork`."""
        return SSFormerNetwork()

    def pretrain(self, network: nn.Module) -> None:
        """ImageNet weights into the encoder; a file has the names of smp's ``mit_b2``, which are SegFormer's."""
        load_encoder(network.backbone, ENCODER, self.encoder_weights)

    def loss(self, outputs: Tensor, mask: Tensor) -> Tensor:
        """Binary cross-entropy plus 1 - (2py + 1) / (p + y + 1) of each pixel.

        Args:
            outputs: logits ``Bx1xSxS``.
            mask: ``Bx1xSxS`` of 0 and 1.
        """
        logits = outputs.sigmoid() if self.sigmoid == "released" else outputs
        return ssformer_loss(logits, mask)

    def groups(self, network: nn.Module) -> Groups:
        """All parameters but those of ``linear_fuse``, which get no gradient."""
        named = network.named_parameters()
        return [{"params": [value for name, value in named if not name.startswith("decode_head.linear_fuse.")]}]

    def augmentation(self) -> v2.Transform:
        """The released order: scale, flips, rotation, colours, and a mask that grows or shrinks at its border."""
        smooth = v2.InterpolationMode.BILINEAR
        place = (v2.RandomAffine(0, scale=(0.75, 1.25), interpolation=smooth),)
        turn = (v2.RandomRotation((0, 358), interpolation=smooth),)
        colours = (v2.ColorJitter(contrast=(1, 1.1)), Sharpness(), v2.ColorJitter(brightness=(1, 1.1)))
        return v2.Compose(
            [
                v2.RandomApply(place),
                v2.RandomHorizontalFlip(),
                v2.RandomVerticalFlip(),
                v2.RandomApply(turn),
                *(v2.RandomApply([change]) for change in colours),
                Border(),
            ]
        )
