"""U-Net (Ronneberger et al. 2015) with a pretrained encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from bench.bases.parts.origin import Origin
from bench.bases.parts.smp import SmpBase


@dataclass(kw_only=True)
class UNet(SmpBase):
    """U-Net through segmentation-models-pytorch; 24,436,369 parameters with its ResNet-34 encoder.

    Example:
        >>> from bases.unet import UNet
        >>> sum(parameter.numel() for parameter in UNet(size=64).network().parameters())
        24436369
    """

    origin: ClassVar[Origin] = Origin(
        paper="Ronneberger et al., MICCAI 2015", code="segmentation-models-pytorch", licence="MIT"
    )

    def build(self) -> Any:
        """See `SmpBase.build`."""
        import segmentation_models_pytorch as smp

        return smp.Unet(self.encoder, encoder_weights=None)
