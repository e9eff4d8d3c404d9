"""DeepLabV3+ (Chen et al. 2018)."""

from __future__ import annotations

from typing import Any

from bases.smp import SmpBase


class DeepLabV3Plus(SmpBase):
    """DeepLabV3+ through segmentation-models-pytorch; 45,669,713 parameters with its ResNet-101 encoder.

    Output stride 16 with atrous rates 6, 12, 18, as the DeepLabV3+ paper pairs them; smp's default is 12, 24, 36.

    Example:
        >>> from bases.deeplabv3plus import DeepLabV3Plus
        >>> network = DeepLabV3Plus(size=64).network("resnet101")
        >>> sum(parameter.numel() for parameter in network.parameters())
        45669713
    """

    default_encoder = "resnet101"

    def network(self, encoder: str) -> Any:
        """Bx3xSxS -> logits Bx1xSxS."""
        import segmentation_models_pytorch as smp

        return smp.DeepLabV3Plus(
            encoder, encoder_weights=None, encoder_output_stride=16, decoder_atrous_rates=(6, 12, 18)
        )
