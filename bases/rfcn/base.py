"""RFCN's recipe: VGG16's weights, a third party's optimiser, the cross-entropy of every step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2

from bench.bases.parts.framing import Interpolation
from bench.bases.parts.origin import Origin
from bench.bases.parts.saliency_prior import Prior
from bench.bases.parts.trained import TrainedBase
from bench.bases.parts.vgg import load_vgg16
from bench.bases.rfcn.network import Fcn8s, RecurrentFcn, Variant
from bench.contracts import UserError
from bench.training.checkpoints import fit_state
from bench.training.encoders import imagenet_state
from bench.training.optimisers import Groups
from bench.training.recipe import Schedule


@dataclass(kw_only=True)
class Rfcn(TrainedBase):
    """Recurrent fully convolutional network for saliency: 134,272,006 parameters.

    The paper's layers are not to be had: this is FCN-8s on VGG16 with the saliency prior as fourth channel, run twice
    with shared weights. Its two scores, background and foreground, are given out as their difference.
    ``variant="lite"`` is a third party's network for the same idea (LarT2P/RFCN; 14,756,421 parameters, stride 4,
    one score).

    The paper's pre-training on VOC 2010's 20 classes (and its output of 23 channels) is left out for ImageNet's VGG16:
    fc6 and fc7 come from its classifier, the fourth channel begins at zero. So is its post-processing by colour
    and place: a refiner wants the map. The paper averages three scales it does not name: ``scales=[0.75,1,1.25]``.
    The optimiser is the third party's (Adam, tenfold in the decoder, batch 1, 20 epochs), as the paper's rates are
    unknown. Its checkpoint is fed what Pillow's bilinear filter makes of an image; a training here averages areas
    (``interpolation``).

    Args:
        variant: ``8s`` or ``lite``.
        steps: runs of the network, in training and at test time; the third party trains with 3 and tests with 1.
        prior: fed to the first run: ``contrast`` (see `SaliencyPrior`), ``centre`` or ``none``, zeros.

    Example:
        >>> from bases.rfcn import Rfcn
        >>> sum(parameter.numel() for parameter in Rfcn(variant="lite").network().parameters())
        14756421
    """

    origin: ClassVar[Origin] = Origin(
        paper="Wang et al., ECCV 2016", code="github.com/LarT2P/RFCN (a third party's, of lite)", licence="MIT"
    )
    authors_interpolation: ClassVar[Interpolation] = "pil-bilinear"

    size: int = 256
    epochs: int = 20
    batch: int = 1
    lr: float = 1e-4
    schedule: Schedule = "constant"
    variant: Variant = "8s"
    steps: int = 2
    prior: Prior = "contrast"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1:
            raise UserError("the network runs at least once", f"steps={self.steps}", "use steps=2")

    def network(self) -> RecurrentFcn:
        """See `RecurrentFcn`."""
        return RecurrentFcn(self.variant, self.steps, self.prior, self.preprocessing.mean, self.preprocessing.std)

    def pretrain(self, network: nn.Module) -> None:
        """VGG16's convolutions; for FCN-8s also the two hidden layers of its classifier, if the weights hold them."""
        assert isinstance(network, RecurrentFcn)
        state = imagenet_state("vgg16", self.encoder_weights)
        if state is None:
            return
        where = f"encoder_weights={self.encoder_weights}"
        load_vgg16(network.step.features, state, where)
        if isinstance(network.step, Fcn8s) and {"classifier.0.weight", "classifier.3.weight"} <= state.keys():
            for layer, index in ((network.step.fc6, 0), (network.step.fc7, 3)):
                prefix = f"classifier.{index}."
                own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
                # A fully connected layer is a kernel as large as the whole last feature map.
                if own["weight"].numel() == layer.weight.numel():
                    own["weight"] = own["weight"].reshape(layer.weight.shape)
                fit_state(layer, own, where)

    def groups(self, network: nn.Module) -> Groups:
        """Ten times the rate in the decoder."""
        assert isinstance(network, RecurrentFcn)
        decoder = list(network.step.decoder.parameters())
        inside = {id(parameter) for parameter in decoder}
        rest = [parameter for parameter in network.parameters() if id(parameter) not in inside]
        return [{"params": rest}, {"params": decoder, "lr": 10 * self.lr}]

    def loss(self, outputs: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Cross-entropy of every step, summed.

        Args:
            outputs: logits ``Bx1xSxS`` of each step.
            mask: ``Bx1xSxS`` of 0 and 1.
        """
        return torch.stack([F.binary_cross_entropy_with_logits(logits, mask) for logits in outputs]).sum()

    def augmentation(self) -> Any:
        """Flipped from left to right; no source says."""
        return v2.RandomHorizontalFlip()
