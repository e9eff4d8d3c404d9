"""ARN's network: VGG16-BN encodes images with their masks; convolutions compare query and support, and decode."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.vgg import cfgs, make_layers


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
