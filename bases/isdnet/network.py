"""ISDNet's network: a deep branch on a small image, a shallow one on the large image's detail, and their fusion.

Modules are named as in the state dict of the released code (cedricgsh/ISDNet at 73413356), but for its second names
of the shallow branch's blocks (`renamed`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.bases.isdnet.deep import Backbone, DeepHead, StageHead, SuperResolution
from bench.bases.isdnet.parts import Predictor, conv_norm, conv_norm_relu
from bench.bases.isdnet.shallow import Detail, Shallow

SHRINK = 4
"""The image's side over the deep branch's."""

SECOND_NAMES = tuple(f"refine_head.stdc_net.x{stride}." for stride in (2, 4, 8, 16))


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The released code's state dict without its 120 second names: it registers the shallow branch's blocks twice."""
    return {name: value for name, value in state.items() if not name.startswith(SECOND_NAMES)}


class Attention(nn.Module):
    """``BxCxHxW`` -> ``Bx128xHxW``, and a descriptor of the whole, ``Bx128``."""

    def __init__(self, inside: int) -> None:
        super().__init__()
        self.conv_bn_relu = conv_norm_relu(inside, 128)
        self.conv_1x1 = conv_norm(128, 128, 1, pooled=True)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        features = self.conv_bn_relu(features)
        return features, self.conv_1x1(F.adaptive_avg_pool2d(features, 1)).flatten(1)


def _gate() -> nn.Sequential:
    return nn.Sequential(nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU())


class Fusion(nn.Module):
    """Relation-aware fusion: each branch's channels are gated by how the two descriptors relate.

    Args:
        inside: channels of the spatial features; those of the context are 128.
    """

    def __init__(self, inside: int) -> None:
        super().__init__()
        # A gate starts as its own branch's alone.
        self.g1, self.g2 = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
        self.spatial_mlp, self.context_mlp = _gate(), _gate()
        self.spatial_att, self.context_att = Attention(inside), Attention(128)
        self.context_head = conv_norm_relu(128, 128)
        self.smooth = conv_norm(128, 128)

    def forward(self, spatial: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """``BxCxHxW`` and the context at any size -> the gated context and the fused features, ``Bx128xHxW`` each."""
        spatial, spatial_whole = self.spatial_att(spatial)
        context, context_whole = self.context_att(context)
        relation = (spatial_whole.unflatten(1, (16, 8)) @ context_whole.unflatten(1, (16, 8)).mT).flatten(1)
        spatial_gate = torch.sigmoid(spatial_whole + self.g1 * self.spatial_mlp(relation))
        context_gate = torch.sigmoid(context_whole + self.g2 * self.context_mlp(relation))
        spatial, context = spatial * spatial_gate[..., None, None], context * context_gate[..., None, None]
        context = F.interpolate(context, spatial.shape[-2:], mode="bilinear", align_corners=False)
        context = self.context_head(context)
        return context, self.smooth(spatial + context)


class FusionHead(nn.Module):
    """The shallow branch, both fusions, and the heads that read them."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv_seg = Predictor(classes, dropout=0.1)
        self.fuse8, self.fuse16 = Fusion(256), Fusion(512)
        self.sr_decoder = SuperResolution()
        self.stdc_net = Shallow()
        self.conv_seg_aux_16, self.conv_seg_aux_8 = Predictor(classes, dropout=0.1), Predictor(classes, dropout=0.1)

    def fuse(self, detail: Tensor, deep: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Detail ``Bx6xHxW`` and deep features -> fused features, contexts at strides 8 and 16; ``Bx128`` each."""
        eighth, sixteenth = self.stdc_net(detail)
        context16, fused = self.fuse16(sixteenth, deep)
        context8, fused = self.fuse8(eighth, fused)
        return fused, context8, context16


class Outputs(TypedDict):
    """What ISDNet returns in train mode, for an image of ``HxW``.

    Attributes:
        road, deep, aux16, aux8, stage: foreground logits ``Bx1xhxw`` of the final head, the deep branch, the fusions'
            contexts at strides 16 and 8, and the deep branch's third stage; ``road`` at ``HxW``, the others smaller.
        detail: ``Bx6xHxW``, see `Detail`.
        restored: ``Bx3xH/2xW/2``, what the super-resolution makes of the deep features.
        deep_features: ``Bx128xH/32xW/32``.
        fine_features: ``Bx128xH/2xW/2``, which ``restored`` is read from.
    """

    road: Tensor
    deep: Tensor
    aux16: Tensor
    aux8: Tensor
    stage: Tensor
    detail: Tensor
    restored: Tensor
    deep_features: Tensor
    fine_features: Tensor


def foreground(classes: Tensor) -> Tensor:
    """Logits of background and road ``Bx2xHxW`` -> the logit of the softmax's road ``Bx1xHxW``."""
    return classes[:, 1:] - classes[:, :1]


class ISDNetNetwork(nn.Module):
    """ISDNet with two classes. Images of rows and columns divisible by 32.

    Example:
        >>> network = ISDNetNetwork().eval()
        >>> with torch.inference_mode():
        ...     tuple(network(torch.rand(1, 3, 64, 96)).shape)
        (1, 1, 64, 96)
    """

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.decode_head = DeepHead(2)
        self.refine_head = FusionHead(2)
        self.auxiliary_head = StageHead(2)
        self.detail = Detail()

    def class_logits(self, images: Tensor) -> Tensor:
        """Normalised ``Bx3xHxW`` -> the final head's logits of background and road, ``Bx2xHxW``."""
        deep = self.decode_head(self._stages(images)[-1])
        fused, _, _ = self.refine_head.fuse(self.detail(images), deep)
        return self._final(fused, images)

    def outputs(self, images: Tensor) -> Outputs:
        """Normalised ``Bx3xHxW`` -> what the losses read."""
        *_, third, fourth = self._stages(images)
        deep, detail, head = self.decode_head(fourth), self.detail(images), self.refine_head
        fused, context8, context16 = head.fuse(detail, deep)
        restored, fine = head.sr_decoder(deep)
        return Outputs(
            road=foreground(self._final(fused, images)),
            deep=foreground(self.decode_head.classify(deep)),
            aux16=foreground(head.conv_seg_aux_16(context16)),
            aux8=foreground(head.conv_seg_aux_8(context8)),
            stage=foreground(self.auxiliary_head(third)),
            detail=detail,
            restored=restored,
            deep_features=deep,
            fine_features=fine,
        )

    def _stages(self, images: Tensor) -> list[Tensor]:
        # Nearest neighbour, as the paper's: every fourth pixel of every fourth row.
        return self.backbone.stages(images[..., ::SHRINK, ::SHRINK])

    def _final(self, fused: Tensor, images: Tensor) -> Tensor:
        logits = self.refine_head.conv_seg(fused)
        return F.interpolate(logits, images.shape[-2:], mode="bilinear", align_corners=False)

    def forward(self, images: Tensor) -> Tensor | Outputs:
        """Normalised ``Bx3xHxW`` -> foreground logits ``Bx1xHxW``; in train mode, `outputs`."""
        return self.outputs(images) if self.training else foreground(self.class_logits(images))
