"""DeepLabV3+ (Chen et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from bench.bases.parts.origin import Origin
from bench.bases.parts.smp import SmpBase


@dataclass(kw_only=True)
class DeepLabV3Plus(SmpBase):
    """DeepLabV3+ through segmentation-models-pytorch; 45,669,713 parameters with its ResNet-101 encoder.

    Output stride 16 with atrous rates 6, 12, 18, as the DeepLabV3+ paper pairs them; smp's default is 12, 24, 36.

    Example:
        >>> from bases.deeplabv3plus import DeepLabV3Plus
        >>> sum(parameter.numel() for parameter in DeepLabV3Plus(size=64).network().parameters())
        45669713
    """

    origin: ClassVar[Origin] = Origin(paper="Chen et al., ECCV 2018", code="segmentation-models-pytorch", licence="MIT")

    encoder: str = "resnet101"

    def build(self) -> Any:
        """See `SmpBase.build`."""
        import segmentation_models_pytorch as smp

        return smp.DeepLabV3Plus(
            self.encoder, encoder_weights=None, encoder_output_stride=16, decoder_atrous_rates=(6, 12, 18)
        )
