"""Adapted Relation Network, the baseline of FSS-1000 (Li et al., CVPR 2020)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.vgg import cfgs, make_layers

from bases.episodes import FewShotBase
from bases.trained import Origin
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


class BatchStatistics(nn.BatchNorm2d):
    """Batch norm that never uses its running statistics: in eval mode too it normalises by the batch."""

    def forward(self, features: Tensor) -> Tensor:
        if self.training:
            return super().forward(features)
        return F.batch_norm(features, None, None, self.weight, self.bias, training=True, eps=self.eps)


class Encoder(nn.Module):
    """VGG16-BN's features behind a first convolution of its own, of image and mask.

    Args:
        norm: channels -> a batch norm.
    """

    def __init__(self, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(nn.Conv2d(4, 64, 3, padding=1))
        _, *layers = make_layers(cfgs["D"], batch_norm=True)
        self.features = nn.Sequential(
            *(norm(layer.num_features) if isinstance(layer, nn.BatchNorm2d) else layer for layer in layers)
        )

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Bx4xSxS -> the five stages before their pooling, Bx64xSxS to Bx512xS/16xS/16, and the last one pooled."""
        stages, features = [], self.layer1(pixels)
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                stages.append(features)
            features = layer(features)
        return [*stages, features]


class Relation(nn.Module):
    """Compares the support's features with a query's and decodes the result along the query's stages.

    Args:
        norm: channels -> a batch norm.
    """

    def __init__(self, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()

        def unit(inside: int, outside: int) -> list[nn.Module]:
            return [nn.Conv2d(inside, outside, 3, padding=1), norm(outside), nn.ReLU()]

        self.layer1 = nn.Sequential(*unit(1024, 512))
        self.layer2 = nn.Sequential(*unit(512, 512))
        self.double_conv1 = nn.Sequential(*unit(1024, 512), *unit(512, 512))
        self.double_conv2 = nn.Sequential(*unit(1024, 256), *unit(256, 256))
        self.double_conv3 = nn.Sequential(*unit(512, 128), *unit(128, 128))
        self.double_conv4 = nn.Sequential(*unit(256, 64), *unit(64, 64))
        self.double_conv5 = nn.Sequential(*unit(128, 64), nn.Conv2d(64, 1, 1))

    def forward(self, support: Tensor, stages: list[Tensor]) -> Tensor:
        """The support's 1x512xS/32xS/32 and what `Encoder` made of the queries -> logits Bx1xSxS."""
        *taps, query = stages
        decoded = self.layer2(self.layer1(torch.cat([support.expand_as(query), query], dim=1)))
        steps = (self.double_conv1, self.double_conv2, self.double_conv3, self.double_conv4, self.double_conv5)
        for step, tap in zip(steps, reversed(taps), strict=True):
            decoded = F.interpolate(decoded, scale_factor=2, mode="bilinear", align_corners=True)
            decoded = step(torch.cat([decoded, tap], dim=1))
        return decoded


class AdaptedRelationNetwork(nn.Module):
    """Encoder and relation network, under the names of the authors' two state dicts.

    Args:
        norm: makes the encoder's batch norms.
        relation_norm: makes the relation network's.
        together: `forward` encodes support and queries as one batch, so that what batch norm sees in training is
            what its running statistics are of; else one after the other.
    """

    def __init__(
        self, norm: Callable[[int], nn.Module], relation_norm: Callable[[int], nn.Module], *, together: bool
    ) -> None:
        super().__init__()
        self.together = together
        self.encoder = Encoder(norm)
        self.relation = Relation(relation_norm)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def encode(self, support: Tensor) -> Tensor:
        """Support images with their masks, Kx4xSxS -> the sum of their features, 1x512xS/32xS/32."""
        return self.encoder(support)[-1].sum(0, keepdim=True)

    def decode(self, encoded: Tensor, queries: Tensor) -> Tensor:
        """What `encode` returned and query images Bx3xSxS -> logits Bx1xSxS."""
        return self.relation(encoded, self.encoder(_without_mask(queries)))

    def forward(self, queries: Tensor, support: Tensor) -> Tensor:
        """Query images Bx3xSxS and the support's Kx4xSxS, RGB in [0, 1] and a mask of 0 and 1 -> logits Bx1xSxS."""
        if not self.together:
            return self.decode(self.encode(support), queries)
        shots = len(support)
        stages = self.encoder(torch.cat([support, _without_mask(queries)]))
        return self.relation(stages[-1][:shots].sum(0, keepdim=True), [stage[shots:] for stage in stages])


def _without_mask(queries: Tensor) -> Tensor:
    """Bx3xSxS -> Bx4xSxS, the fourth channel zero."""
    return torch.cat([queries, queries.new_zeros(len(queries), 1, *queries.shape[2:])], dim=1)


def _behind_first(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of torchvision's ``features`` without the first convolution, so that each index counts one less."""
    split = [(key.split("."), value) for key, value in state.items() if key.startswith("features.")]
    return {f"{int(index) - 1}.{name}": value for (_, index, name), value in split if index != "0"}
