"""What a network says of itself: its modules, normalisation, loss, augmentation, and where it comes from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bench.bases.parts.losses import bce_dice
from bench.bases.parts.origin import Origin, input_text, recipe_text
from bench.bases.parts.parameters import BaseParameters
from bench.contracts import Description
from bench.training import Preprocessing
from bench.training.augment import Turn
from bench.training.optimisers import Groups
from bench.training.preprocessing import IMAGENET
from bench.training.profile import multiply_adds, parameters


@dataclass(kw_only=True)
class NetworkDefinition(BaseParameters, ABC):
    """A network and how it is trained, as a subclass says.

    A subclass names its network, loss and normalisation, and overrides the recipe's defaults: every field of
    `BaseParameters` and of `bench.training.Recipe` is a parameter of the base.
    """

    origin: ClassVar[Origin]

    @abstractmethod
    def network(self) -> nn.Module:
        """The untrained network.

        In eval mode it maps normalised pixels ``Bx3xSxS`` to foreground logits ``Bx1xSxS``; in train mode to whatever
        `loss` takes, of which the logits come first.
        """

    @property
    def preprocessing(self) -> Preprocessing:
        """Normalisation of the pixels; ImageNet's unless a network says otherwise."""
        return IMAGENET

    def pretrain(self, network: nn.Module) -> None:
        """Put ImageNet weights into the encoder, as ``encoder_weights`` says. Nothing where there is no encoder."""

    def loss(self, outputs: Any, mask: Tensor) -> Tensor:
        """Binary cross-entropy plus 1 - soft Dice over the batch.

        Args:
            outputs: of the network in train mode, float32.
            mask: ``Bx1xSxS`` of 0 and 1.
        """
        return bce_dice(outputs, mask)

    def groups(self, network: nn.Module) -> Groups | None:
        """The parameters to train, in torch's groups; None for all of them at the recipe's rate."""
        return None

    def augmentation(self) -> Any | None:
        """The authors' augmentation, a torchvision v2 transform of ``image`` and ``mask``; None for none."""
        return Turn()

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Names of a published checkpoint -> names of this network."""
        return state

    def example(self) -> tuple[Tensor, ...]:
        """Inputs of the network for one image, of any values."""
        return (torch.zeros(1, 3, self.size, self.size),)

    def describe(self) -> Description:
        """What ``bench list bases --verbose`` prints; nothing is downloaded or computed."""
        with torch.device("meta"):
            network, inputs = self.network(), self.example()
        return Description(
            parameters=parameters(network),
            multiply_adds=multiply_adds(network, *inputs),
            input=input_text(self.size, self.preprocessing),
            recipe=recipe_text(self, self.loss, self.cropped_to),
            licence=str(self.origin),
        )
