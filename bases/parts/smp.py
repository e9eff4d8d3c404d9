"""What the bases built with segmentation-models-pytorch share: their encoder."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from torch import nn

from bench.bases.parts.trained import TrainedBase
from bench.training import Preprocessing
from bench.training.encoders import load_encoder, no_such_encoder, preprocessing


@dataclass(kw_only=True)
class SmpBase(TrainedBase):
    """A network of segmentation-models-pytorch (MIT) over one of its encoders.

    Recipe: binary cross-entropy plus soft Dice, Adam with a cosine decay to zero, flips and quarter turns
    (D-LinkNet's loss and rate: the paper names none for these bases).

    Args:
        encoder: name of an smp encoder, or ``tu-NAME`` of a timm one.
    """

    requires = ("segmentation_models_pytorch",)

    encoder: str = "resnet34"
    epochs: int = 15
    batch: int = 8
    lr: float = 2e-4
    patience: int | None = 5

    @abstractmethod
    def build(self) -> Any:
        """The smp model: one class, logits at the input's size, its encoder without weights."""

    def network(self) -> nn.Module:
        """``Bx3xSxS`` -> logits ``Bx1xSxS``."""
        try:
            network: nn.Module = self.build()
        except (KeyError, RuntimeError, ValueError) as error:
            raise no_such_encoder(self.encoder, error) from None
        return network

    @property
    def preprocessing(self) -> Preprocessing:
        """What the encoder's ImageNet weights were trained with."""
        return preprocessing(self.encoder)

    def pretrain(self, network: nn.Module) -> None:
        """Put ImageNet weights into the encoder."""
        load_encoder(network.encoder, self.encoder, self.encoder_weights)
