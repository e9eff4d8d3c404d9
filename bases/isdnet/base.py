"""ISDNet's recipe: the released code's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn
from torchvision.transforms import v2

from bench.bases.isdnet.loss import isdnet_loss
from bench.bases.isdnet.network import ISDNetNetwork, Outputs, renamed
from bench.bases.parts.origin import Origin
from bench.bases.parts.pooled_norm import check_statistics
from bench.bases.parts.trained import TrainedBase
from bench.training.checkpoints import fit_state
from bench.training.encoders import imagenet_state
from bench.training.recipe import Optimizer, Schedule


@dataclass(kw_only=True)
class ISDNet(TrainedBase):
    """ISDNet with ResNet-18: 17,778,609 parameters, of which 554,569 in heads that only training uses.

    A softmax over background and road, as the authors' code trains it with two classes; the foreground logit is the
    difference of the two. It was published for the 2448 px images of DeepGlobe's land cover; here it sees a road
    tile whole.

    The authors' checkpoints load by their own names, 560 entries; ours have 440, because theirs name each of the 120
    tensors of the shallow branch twice. Those of other classes do not fit.

    The recipe is the released code's: 80,000 steps of 8 images, 128 epochs of the 4,980 that PRN's authors train on.
    What differs:

    - The heads ``conv_seg_aux_16`` and ``conv_seg_aux_8`` read the contexts at strides 16 and 8; in the released code
      each reads the other's. No map sees it.
    - ``encoder_weights=imagenet`` fills the deep branch's stages with torchvision's ResNet-18; its stem of three
      convolutions (28,768 parameters with their batch norm) starts at random, as no such weights are at torchvision.
      A file of OpenMMLab's ``resnet18_v1c`` fills both, as the authors had it. The shallow branch starts at random; the
      authors had ImageNet's STDC.
    - A crop is not drawn anew where one class fills three quarters of it: every crop of a road tile is so.
    - What a rotation leaves bare is background, not unlabelled.

    Raises:
        UserError: besides the reasons of `TrainedBase`, a training with a batch of 1 or at 32 pixels.

    Example:
        >>> from bases.isdnet import ISDNet
        >>> sum(p.numel() for p in ISDNet(size=64).network().parameters())
        17778609
    """

    origin: ClassVar[Origin] = Origin(
        paper="Guo et al., CVPR 2022", code="github.com/cedricgsh/ISDNet", licence="Apache-2.0"
    )
    version = 2

    size: int = 1024
    epochs: int = 128
    batch: int = 8
    lr: float = 0.01
    optimizer: Optimizer = "sgd"
    weight_decay: float = 5e-4
    schedule: Schedule = "poly"
    lr_end: float = 1e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.trainable:
            check_statistics(self.batch, self.cropped_to or self.size, self.multiple)

    def network(self) -> ISDNetNetwork:
        """See `ISDNetNetwork`."""
        return ISDNetNetwork()

    def pretrain(self, network: nn.Module) -> None:
        """ImageNet's ResNet-18 into the deep branch: its stages, and its stem where the file has one."""
        state = imagenet_state("resnet18", self.encoder_weights)
        if state is not None:
            backbone = network.get_submodule("backbone")
            stem = {name: value for name, value in backbone.state_dict().items() if name.startswith("stem.")}
            fit_state(backbone, {**stem, **state}, f"encoder_weights={self.encoder_weights}", surplus=True)

    def loss(self, outputs: Outputs, mask: Tensor) -> Tensor:
        """Cross-entropies of five heads + 0.1 detail + structure.

        See `isdnet_loss`.
        """
        return isdnet_loss(outputs, mask)

    def augmentation(self) -> Any:
        """A mirror, a rotation by 90 to 270 degrees half of the time, photometric distortion."""
        turn = v2.RandomRotation((90, 270), v2.InterpolationMode.BILINEAR)
        # Hue by a tenth of its circle, as 18 of OpenCV's 180.
        colours = v2.RandomPhotometricDistort(hue=(-0.1, 0.1))
        return v2.Compose([v2.RandomHorizontalFlip(), v2.RandomApply([turn]), colours])

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Drops the second names of the shallow branch's tensors."""
        return renamed(state)
