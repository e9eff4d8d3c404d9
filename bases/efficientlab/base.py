"""EfficientLab's recipe: first-order meta-learning, and an inner loop for each support set."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import ClassVar

import timm
from torch import Tensor, nn
from torch.func import functional_call

from bench.bases.efficientlab.inner import InnerLoop, outer_loss
from bench.bases.efficientlab.loss import criterion
from bench.bases.efficientlab.network import ENCODER, EfficientLab63
from bench.bases.parts.episodes import FewShotBase
from bench.bases.parts.origin import Origin
from bench.contracts import UserError
from bench.training import Batch, fit_state, read_state, seeded
from bench.training.encoders import no_imagenet
from bench.training.hub import hub
from bench.training.inference import Model
from bench.training.recipe import Optimizer, Schedule

PRETRAINED = f"{ENCODER}.in1k"


@dataclass(kw_only=True)
class EfficientLab(FewShotBase):
    """EfficientLab-6-3 with FOMAML*, learns each class at test time: 2,071,714 parameters.

    EfficientNet-B0 up to its eleventh block (timm's, padded as in TensorFlow) and two residual skip-decoders. Training
    looks for weights from which a few steps on a new class lead far: `bench.bases.efficientlab.inner.outer_loss` is the
    loss of a batch of classes, ``lr`` the meta-step. 50,000 meta-steps of five classes are 329 epochs of 760 classes.

    At test time ``inner_steps`` steps of SGD on a class's support, in batches of 8 with dropout, augmentation and
    moving statistics, give the weights for that class; they are forgotten after its queries. The draws depend on
    ``seed`` and the support alone. That is most of the cost: 59 steps are 472 images forward and backward, for the
    first query of each class. Multiply-adds in ``bench list`` are those of one query's forward pass.

    The inner loop of the training is that of test time, 59 steps at ``inner_lr``, as in the authors' script; the
    default of their command line is ``train_steps=8``, a seventh of the time. Their meta-learned weights exist for
    TensorFlow only; module names here are ours, in the backbone timm's.

    Args:
        inner_steps, inner_lr: of SGD on a class's support, at test time and for choosing the best epoch.
        train_steps: steps of a task in training, of which the last is on its queries.
        dropout: share of the last features dropped in every inner loop.
        augment: ``recipe`` changes half of the images of the inner loops, each in one to six ways in random order, see
            `bench.bases.efficientlab.augmentation`.
        encoder_weights: ``imagenet`` is timm's ``tf_efficientnet_b0.in1k``; a file has timm's names.

    Example:
        >>> from bases.efficientlab import EfficientLab
        >>> sum(p.numel() for p in EfficientLab().network().parameters())
        2071714
    """

    origin: ClassVar[Origin] = Origin(
        paper="Hendryx et al., NeurIPS-W MetaLearn 2020", code="github.com/ml4ai/mliis", licence="MIT, Apache-2.0"
    )
    version = 2

    size: int = 224
    epochs: int = 329
    batch: int = 5
    lr: float = 0.1
    lr_end: float = 1e-5
    optimizer: Optimizer = "sgd"
    momentum: float = 0.0
    schedule: Schedule = "poly"
    power: float = 1.0
    val_classes: int = 20
    inner_steps: int = 59
    inner_lr: float = 5e-4
    train_steps: int = 59
    dropout: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("inner_steps", 0), ("train_steps", 1)):
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}", f"{name}=", f"give {least} or more")
        if not 0 < self.inner_lr < math.inf:
            raise UserError(f"inner_lr is {self.inner_lr}", "inner_lr=", "give a number above 0")
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout is {self.dropout}", "dropout=", "give a share from 0 to below 1")

    def network(self) -> nn.Module:
        """``Bx3xSxS`` -> logits ``Bx1xSxS``."""
        return EfficientLab63(self.dropout)

    def pretrain(self, network: nn.Module) -> None:
        """ImageNet weights of the backbone."""
        assert isinstance(network, EfficientLab63)
        if self.encoder_weights != "none":
            state = _published() if self.encoder_weights == "imagenet" else read_state(self.encoder_weights)
            fit_state(network.backbone, state, f"encoder_weights={self.encoder_weights}", surplus=True)

    def loss(self, outputs: Tensor, mask: Tensor) -> Tensor:
        """First-order MAML of cross-entropy minus ln(Dice).

        The criterion alone, without the meta-step: see `bench.bases.efficientlab.loss.criterion`.
        """
        return criterion(outputs, mask)

    def augmentation(self) -> None:
        """None: what ``recipe`` does happens in the inner loop."""

    def batch_loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """The meta-step of a batch of classes. The fields are those of `FewShotBase.train_stage`."""
        return outer_loss(self._loop(network), batch["image"], batch["mask"], self.shots, self.train_steps)

    def episode_model(self, network: nn.Module, images: Tensor, masks: Tensor) -> Model:
        """See `FewShotBase`. The inner loop runs here, on weights and statistics of its own."""
        buffers = {name: value.clone() for name, value in network.named_buffers()}
        loop = self._loop(network.train())
        with seeded(self._draw(images, masks)):
            weights = loop.run(loop.begin(), buffers, images, masks, self.inner_steps)
        network.eval()
        learnt = {name: value.detach() for name, value in weights.items()} | buffers
        return lambda pixels: functional_call(network, learnt, (self.preprocessing(pixels),)).float().sigmoid()

    def _loop(self, network: nn.Module) -> InnerLoop:
        return InnerLoop(network, self.inner_lr, self.preprocessing, augment=self.augment == "recipe")

    def _draw(self, images: Tensor, masks: Tensor) -> int:
        """What the random numbers of a support set's inner loop follow from."""
        parts = (f"{self.seed}".encode(), *(part.cpu().numpy().tobytes() for part in (images, masks)))
        return int.from_bytes(hashlib.blake2b(b"".join(parts), digest_size=7).digest())


def _published() -> dict[str, Tensor]:
    """timm's ImageNet weights. Raises UserError where they cannot be had."""
    try:
        with hub():
            return dict(timm.create_model(PRETRAINED, pretrained=True).state_dict())
    except (OSError, RuntimeError, ValueError) as error:
        raise no_imagenet(PRETRAINED, error, f"huggingface.co/timm/{PRETRAINED} (model.safetensors)") from None
