"""PSPNet (Zhao et al. 2017)."""

from __future__ import annotations

from typing import Any

from bases.smp import SmpBase


class PSPNet(SmpBase):
    """PSPNet through segmentation-models-pytorch; 48,800,833 parameters with its ResNet-101 encoder.

    Dilated to output stride 8 and using all five encoder stages, as the PSPNet paper does. smp's default
    (``encoder_depth=3``) never uses layer3 and layer4. Of the paper's network smp leaves out the auxiliary head and the
    batch norm of the bin-1 branch, and fuses with 1x1 instead of 3x3.

    Example:
        >>> from bases.pspnet import PSPNet
        >>> network = PSPNet(size=64).network("resnet101")
        >>> sum(parameter.numel() for parameter in network.parameters())
        48800833
    """

    default_encoder = "resnet101"

    def network(self, encoder: str) -> Any:
        """Bx3xSxS -> logits Bx1xSxS."""
        import segmentation_models_pytorch as smp

        network = smp.PSPNet(encoder, encoder_weights=None, encoder_depth=5, upsampling=8)
        network.encoder.make_dilated(output_stride=8)
        return network
