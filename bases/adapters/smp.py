"""Any architecture of segmentation-models-pytorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from bench.bases.parts.origin import Origin
from bench.bases.parts.smp import SmpBase
from bench.contracts import UserError


@dataclass(kw_only=True)
class SmpAny(SmpBase):
    """Any architecture of segmentation-models-pytorch; U-Net++ unless another is named.

    Built with the library's own defaults: ``unet`` and ``deeplabv3plus`` of this project choose some of their own.
    ``dpt`` wants a vision transformer of timm and its size, e.g. ``encoder=tu-vit_base_patch16_224,size=224``.

    Args:
        arch: the library's name, e.g. ``unetplusplus``, ``segformer``, ``fpn``, ``manet``, ``linknet``, ``upernet``.

    Example:
        >>> from bases.adapters.smp import SmpAny
        >>> sum(p.numel() for p in SmpAny(arch="fpn", encoder="mobilenet_v2").network().parameters())
        4215425
    """

    origin: ClassVar[Origin] = Origin(paper="the architecture's", code="segmentation-models-pytorch", licence="MIT")

    arch: str = "unetplusplus"

    def build(self) -> Any:
        """See `SmpBase.build`."""
        import segmentation_models_pytorch as smp

        known = smp.MODEL_ARCHITECTURES_MAPPING
        if self.arch not in known:
            raise UserError(
                f"no such architecture {self.arch!r}", f"arch={self.arch}", f"use {', '.join(sorted(known))}"
            )
        return smp.create_model(self.arch, self.encoder, encoder_weights=None)

    def pretrain(self, network: nn.Module) -> None:
        """Put ImageNet weights into the encoder."""
        if self.arch == "dpt" and self.encoder_weights == "imagenet":
            fix = "give encoder_weights=FILE with the key names of the smp encoder, or encoder_weights=none"
            raise UserError("the encoder of dpt is not downloaded", "encoder_weights=imagenet", fix)
        super().pretrain(network)
