"""CoANet's recipe: the released code's, its head at ten times the backbone's rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn
from torchvision.transforms import v2

from bench.bases.coanet.loss import coanet_loss
from bench.bases.coanet.network import CoANetNetwork
from bench.bases.parts.origin import Origin
from bench.bases.parts.pooled_norm import check_statistics
from bench.bases.parts.trained import TrainedBase
from bench.training.checkpoints import fit_state
from bench.training.encoders import imagenet_state
from bench.training.optimisers import Groups
from bench.training.recipe import Optimizer, Schedule

HEAD_RATE = 10


@dataclass(kw_only=True)
class CoANet(TrainedBase):
    """CoANet with ResNet-101: 59,146,719 parameters, strip convolutions and connectivity heads for roads.

    The map is the segmentation head's. The released code fuses three answers into a mask (a road where the segmentation
    exceeds 0.1, or either sum of connectivity logits its bound); that rule has no probability, and is left out.
    It averages four flips, as ``tta=flips`` does.

    The authors' checkpoints load by their own names; give ``diagonals=released`` with them. Their connectivity heads
    hold the channels of every row in reverse (cubes written as BGR, read as RGB), which no map sees.

    The recipe is the released code's, but for its crops: it cuts a tile into four of 512 pixels and trains 150 epochs,
    here one random crop is taken after the tile was turned and scaled, for 600 epochs: as many steps. The connectivity
    is computed of the augmented mask, so its directions are those of the pixels; the released code turns cubes made
    before and leaves their channels in place.

    Args:
        diagonals: ``both``: of the two slanted strips of a block, one runs along each diagonal, as the paper draws
            them; ``released``: both run along the anti-diagonal. The parameters are the same.
        squeeze: ``trained``: the 108 weights of the connectivity heads' channel gates learn with the head; ``frozen``:
            they stay random, as in the released code, whose optimiser never sees them.

    Raises:
        UserError: besides the reasons of `TrainedBase`, a training with a batch of 1.

    Example:
        >>> from bases.coanet import CoANet
        >>> sum(p.numel() for p in CoANet(size=64, crop=0).network().parameters())
        59146719
    """

    origin: ClassVar[Origin] = Origin(
        paper="Mei et al., IEEE TIP 2021", code="github.com/mj129/CoANet", licence="GPL-3, non-commercial research only"
    )
    multiple: ClassVar[int] = 8

    size: int = 1024
    crop: int = 512
    epochs: int = 600
    batch: int = 16
    lr: float = 0.01
    optimizer: Optimizer = "sgd"
    weight_decay: float = 5e-4
    schedule: Schedule = "poly"
    power: float = 3.0
    diagonals: Literal["both", "released"] = "both"
    squeeze: Literal["trained", "frozen"] = "trained"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.trainable:
            check_statistics(self.batch, self.cropped_to or self.size, self.multiple)

    def network(self) -> CoANetNetwork:
        """See `CoANetNetwork`."""
        network = CoANetNetwork(both=self.diagonals == "both")
        if self.squeeze == "frozen":
            network.connect.se.requires_grad_(False)
            network.connect.se_d1.requires_grad_(False)
        return network

    def pretrain(self, network: nn.Module) -> None:
        """ImageNet's ResNet-101 of torchvision into the backbone."""
        state = imagenet_state("resnet101", self.encoder_weights)
        if state is not None:
            fit_state(network.get_submodule("backbone"), state, f"encoder_weights={self.encoder_weights}", surplus=True)

    def loss(self, outputs: tuple[Tensor, Tensor, Tensor], mask: Tensor) -> Tensor:
        """BCE + Dice + 0.2 connectivity.

        See `coanet_loss`.
        """
        return coanet_loss(*outputs, mask)

    def groups(self, network: nn.Module) -> Groups:
        """The backbone at the recipe's rate, the rest at ten times it."""
        backbone = list(network.get_submodule("backbone").parameters())
        known = {id(parameter) for parameter in backbone}
        head = [p for p in network.parameters() if p.requires_grad and id(p) not in known]
        return [{"params": backbone}, {"params": head, "lr": HEAD_RATE * self.lr}]

    def augmentation(self) -> Any:
        """Any rotation, a mirror, half to twice the scale (with a `crop`), a blur of up to one pixel."""
        steps: list[nn.Module] = [
            v2.RandomRotation(180, v2.InterpolationMode.BILINEAR),
            v2.RandomHorizontalFlip(),
        ]
        if self.cropped_to:
            # Without a crop all samples of a batch must keep one size, and none may be smaller than it.
            steps.append(v2.RandomResize(max(self.size // 2, self.cropped_to), 2 * self.size))
        return v2.Compose([*steps, v2.RandomApply([v2.GaussianBlur(7, (0.01, 1.0))])])
