"""ARN's recipe: episodes of one class each, the mean squared error, and the authors' two files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.bases.arn.network import AdaptedRelationNetwork, BatchStatistics
from bench.bases.parts.episodes import FewShotBase
from bench.bases.parts.origin import Origin
from bench.contracts import UserError
from bench.training import Batch, Preprocessing, fit_state, load_state
from bench.training.encoders import EncoderWeights, imagenet_state
from bench.training.inference import Model
from bench.training.preprocessing import UNIT
from bench.training.recipe import Schedule

SLOTS = 5
"""Queries that the authors' test script runs at a time; it fills empty places with zeros."""


@dataclass(kw_only=True)
class Arn(FewShotBase):
    """Adapted Relation Network, FSS-1000's baseline: 32,833,025 parameters.

    VGG16-BN encodes the support, each image with its mask as a fourth channel, and the query, whose fourth channel is
    zero. The support's features are summed, compared with the query's by convolutions, and decoded along the query's
    own stages. Episodes of the authors: 800,000, of one class each; here 1,053 epochs of 760 classes.

    The authors train the relation network with a batch-norm momentum of 1 and never leave training mode: a test image
    is normalised by its batch of five queries, where empty places are zeros. ``statistics=batch`` does that, each query
    with four zeros beside it, so that its map does not depend on what else is asked. By default running statistics are
    kept with torch's momentum and used at test time, and in training support and queries pass the encoder as one
    batch: as two, which is what the authors do, neither would be normalised as the running statistics do, which mix
    both. The authors' files need ``statistics=batch``: their running statistics are those of the training's last batch.

    One other difference: the authors clip the gradient's norm at 0.5 for each of the two networks, ``clip`` does so for
    both together. Module names are those of the authors' two state dicts, after ``encoder.`` and ``relation.``.

    Args:
        relation: the authors' file of the relation network; ``weights`` is then their file of the encoder. Without it
            ``weights`` holds both.
        statistics: ``running`` or ``batch``, see above.
        encoder_weights: of VGG16-BN; the first convolution is always new. The authors' default is ``none``.

    Example:
        >>> from bases.arn import Arn
        >>> sum(p.numel() for p in Arn().network().parameters())
        32833025
    """

    origin: ClassVar[Origin] = Origin(
        paper="Li et al., CVPR 2020", code="github.com/HKUSTCV/FSS-1000", licence="no licence"
    )

    size: int = 224
    epochs: int = 1053
    batch: int = 1
    lr: float = 1e-3
    schedule: Schedule = "step"
    drop: float = 0.5
    drop_after: int = 105
    clip: float = 0.5
    encoder_weights: EncoderWeights = "none"
    relation: Path | None = None
    statistics: Literal["running", "batch"] = "running"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.relation is not None and self.weights is None:
            raise UserError("a relation network without an encoder", "relation=", "give the encoder's file as weights=")
        if self.trainable and self.queries == 1 and self.size < 2 * self.multiple:
            what = "batch norm needs more than the one pixel of one query's features"
            raise UserError(what, f"size={self.size}, queries=1", f"use size={2 * self.multiple} or queries=2")
        if self.tile not in (0, self.size) or self.scales != (1.0,):
            raise UserError("queries of another size than the support", "tile=, scales=", "leave both as they are")

    @property
    def preprocessing(self) -> Preprocessing:
        """Values in [0, 1]."""
        return UNIT

    def network(self) -> nn.Module:
        """Takes queries ``Bx3xSxS`` and the support ``Kx4xSxS``; logits ``Bx1xSxS``."""
        if self.statistics == "running":
            return AdaptedRelationNetwork(nn.BatchNorm2d, nn.BatchNorm2d, together=True)
        return AdaptedRelationNetwork(BatchStatistics, partial(BatchStatistics, momentum=1.0), together=False)

    def pretrain(self, network: nn.Module) -> None:
        """VGG16-BN's weights, but for the first convolution."""
        assert isinstance(network, AdaptedRelationNetwork)
        state = imagenet_state("vgg16_bn", self.encoder_weights)
        if state is not None:
            fit_state(network.encoder.features, _behind_first(state), f"encoder_weights={self.encoder_weights}")

    def load(self, network: nn.Module) -> None:
        """The file ``weights``; or, with ``relation``, the authors' two."""
        assert isinstance(network, AdaptedRelationNetwork)
        if self.relation is None or self.weights is None:
            super().load(network)
        else:
            load_state(network.encoder, self.weights, fix="name the authors' file of the encoder")
            load_state(network.relation, self.relation, fix="name the authors' file of the relation network")

    def loss(self, outputs: Tensor, mask: Tensor) -> Tensor:
        """Mean squared error of the probabilities.

        Args:
            outputs: logits ``Bx1xSxS``.
            mask: of 0 and 1, the same shape.
        """
        return F.mse_loss(outputs.sigmoid(), mask)

    def augmentation(self) -> None:
        """None."""

    def batch_loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Mean of the episodes' losses. The fields are those of `FewShotBase.train_stage`."""
        losses = []
        for images, masks in zip(batch["image"], batch["mask"].float(), strict=True):
            pixels, shots = self.preprocessing(images), self.shots
            logits = network(pixels[shots:], torch.cat([pixels[:shots], masks[:shots]], dim=1))
            losses.append(self.loss(logits.float(), masks[shots:]))
        return torch.stack(losses).mean()

    def episode_model(self, network: nn.Module, images: Tensor, masks: Tensor) -> Model:
        """See `FewShotBase`. The support is encoded once."""
        assert isinstance(network, AdaptedRelationNetwork)
        encoded = network.encode(torch.cat([self.preprocessing(images), masks.float()], dim=1))

        def model(pixels: Tensor) -> Tensor:
            inputs = self.preprocessing(pixels)
            if self.statistics == "running":
                return network.decode(encoded, inputs).float().sigmoid()
            empty = inputs.new_zeros(SLOTS - 1, *inputs.shape[1:])
            alone = [network.decode(encoded, torch.cat([query[None], empty]))[:1] for query in inputs]
            return torch.cat(alone).float().sigmoid()

        return model

    def example(self) -> tuple[Tensor, ...]:
        """One query and its support."""
        return torch.zeros(1, 3, self.size, self.size), torch.zeros(self.shots, 4, self.size, self.size)


def _behind_first(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of torchvision's ``features`` without the first convolution, so that each index counts one less."""
    split = [(key.split("."), value) for key, value in state.items() if key.startswith("features.")]
    return {f"{int(index) - 1}.{name}": value for (_, index, name), value in split if index != "0"}
