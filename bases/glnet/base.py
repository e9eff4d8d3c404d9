"""GLNet's recipe: three trainings one after the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from bench.bases.glnet.loss import glnet_loss
from bench.bases.glnet.network import MODES, Assembly, GLNetwork, Mode, frozen_copy
from bench.bases.glnet.patches import LEAST_OVERLAP
from bench.bases.parts.origin import Origin
from bench.bases.parts.trained import TrainedBase
from bench.contracts import Dataset, UserError
from bench.training import Preprocessing, load_finished, seeded
from bench.training.checkpoints import fit_state, read_state
from bench.training.encoders import imagenet_state
from bench.training.optimisers import Groups
from bench.training.preprocessing import UNIT
from bench.training.recipe import Schedule


@dataclass(kw_only=True)
class GLNet(TrainedBase):
    """GLNet of two classes: 79,108,742 parameters, trained in three stages.

    One ResNet-50 sees the whole image at 508 x 508, another its patches of 508 px at full resolution, 3 x 3 in 1024 px;
    their pyramids exchange features. The stages: ``global``, the whole image alone; ``local``, the patches, with the
    features of the now frozen global branch; ``both``, the global branch again, with the features of the now frozen
    patches. Each trains and resumes in a folder of its own: ``stage1``, ``stage2``, the last in the training's.

    In the last stage patches read the features of the global branch as the first stage left it. That copy (28,041,794
    parameters, frozen) is part of our weights files of mode ``both``, as ``resnet_fixed.*`` and ``fpn_fixed.*``. The
    authors' third file lacks it: give their first file too, ``glnet[weights=THIRD,global_weights=FIRST]``; without it
    the third file's own global branch serves. What they published tells seven classes of land apart and does not fit:
    this network has two.

    The recipe is the released code's with two changes: flips and quarter turns are equally likely, and a loss is the
    mean over all patches, where that code adds up the means over groups of six.

    Args:
        mode: the last stage that is trained, and the network that is tested.
        patch: a patch's side and the side the whole image is resized to, in pixels; 508 suits the pyramid's sizes.
        assembly: ``mean``: the patches' logits are interpolated bilinearly and averaged where they overlap.
            ``released``: they are repeated, and summed there, so that a map is the surer the more patches overlap.
        epochs, lr: of the stages ``global`` and ``both``.
        epochs_local, lr_local: of the stage ``local``, which has no more epochs than ``epochs``. It takes image by
            image, as the patches of one fill a GPU, and makes a step of ``batch`` of them.
        global_weights: see above.

    Example:
        >>> from bases.glnet import GLNet
        >>> network = GLNet().network()
        >>> sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
        79108742
    """

    origin: ClassVar[Origin] = Origin(paper="Chen et al., CVPR 2019", code="github.com/VITA-Group/GLNet", licence="MIT")
    multiple: ClassVar[int] = 4
    version = 2

    size: int = 1024
    epochs: int = 120
    batch: int = 6
    lr: float = 5e-5
    weight_decay: float = 5e-4
    schedule: Schedule = "poly"
    mode: Mode = "both"
    patch: int = 508
    assembly: Assembly = "mean"
    epochs_local: int = 50
    lr_local: float = 2e-5
    global_weights: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs_local < 1:
            raise UserError(f"epochs_local is {self.epochs_local}", "epochs_local=", "give 1 or more")
        if not 0 < self.lr_local < math.inf:
            raise UserError(f"lr_local is {self.lr_local}", "lr_local=", "give a number above 0")
        if self.patch <= LEAST_OVERLAP:
            fix = f"use more than {LEAST_OVERLAP}, their least overlap"
            raise UserError(f"patches of {self.patch} px are too small", f"patch={self.patch}", fix)
        smallest = {name: round(getattr(self, name) * min(self.scales)) for name in ("size", "tile")}
        for name, side in {**smallest, "crop": self.crop}.items():
            if 0 < side < self.patch:
                said = f"a patch of {self.patch} px is larger than an image of {side}"
                raise UserError(said, f"{name}={getattr(self, name)}", f"use patch={side} or a larger {name}")

    @property
    def preprocessing(self) -> Preprocessing:
        """RGB in [0, 1]."""
        return UNIT

    def network(self) -> GLNetwork:
        """`GLNetwork`."""
        return GLNetwork(self.mode, self.patch, self.assembly)

    def pretrain(self, network: nn.Module) -> None:
        """ImageNet weights of a ResNet-50 into both branches."""
        assert isinstance(network, GLNetwork)
        state = imagenet_state("resnet50", self.encoder_weights)
        if state is not None:
            for branch in (network.resnet_global, network.resnet_local):
                fit_state(branch, state, f"encoder_weights={self.encoder_weights}", surplus=True)

    def loss(self, outputs: dict[str, Tensor], mask: Tensor) -> Tensor:
        """Focal loss (gamma 3) of each branch and the ensemble, in three stages.

        Args:
            outputs: see `GLNetwork`.
            mask: ``Bx1xSxS`` of 0 and 1.
        """
        return glnet_loss(outputs, mask, self.patch)

    def groups(self, network: nn.Module) -> Groups:
        """The parameters that the network's mode trains."""
        assert isinstance(network, GLNetwork)
        return [{"params": network.trained()}]

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Adds the frozen copy where mode ``both`` needs it and the file lacks it."""
        if self.mode != "both" or any(name.startswith("resnet_fixed.") for name in state):
            return state
        return state | frozen_copy(read_state(self.global_weights) if self.global_weights else state)

    def check_size(self) -> None:
        """Nothing to look for: the networks see patches, whose side was checked, of an image of any size."""

    def fit(self, train: Dataset, val: Dataset, workdir: Path) -> None:
        """See `bench.contracts.BaseNetwork`. Each stage writes a ``training.csv`` to its folder."""
        with seeded(self.seed):
            network = self.network()
        if not load_finished(network, workdir):
            network = self._trained(train, val, workdir)
        self._network = network.to(self.device).eval()

    def _trained(self, train: Dataset, val: Dataset, workdir: Path) -> GLNetwork:
        modes = MODES[: MODES.index(self.mode) + 1]
        with seeded(self.seed):
            network = GLNetwork(modes[0], self.patch, self.assembly)
        for number, mode in enumerate(modes, 1):
            folder = workdir if mode == self.mode else workdir / f"stage{number}"
            with seeded(self.seed):
                network.enter(mode)
            if load_finished(network, folder):
                continue
            if mode == "global":
                self.pretrain(network)
            changes = self._local_recipe() if mode == "local" else {}
            self.train_stage(network, train, val, folder, self.batch_loss, self.groups(network), **changes)
        return network

    def _local_recipe(self) -> dict[str, Any]:
        return {
            "epochs": min(self.epochs, self.epochs_local),
            "lr": self.lr_local,
            "batch": 1,
            "accumulate": self.batch * self.accumulate,
        }
