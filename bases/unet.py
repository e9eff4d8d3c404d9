"""U-Net (Ronneberger et al. 2015) with a pretrained encoder."""

from __future__ import annotations

from typing import Any

from bases.smp import SmpBase


class UNet(SmpBase):
    """U-Net through segmentation-models-pytorch; 24,436,369 parameters with its ResNet-34 encoder.

    Example:
        >>> from bases.unet import UNet
        >>> network = UNet(size=64).network("resnet34")
        >>> sum(parameter.numel() for parameter in network.parameters())
        24436369
    """

    default_encoder = "resnet34"

    def network(self, encoder: str) -> Any:
        """Bx3xSxS -> logits Bx1xSxS."""
        import segmentation_models_pytorch as smp

        return smp.Unet(encoder, encoder_weights=None)
