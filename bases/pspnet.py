"""PSPNet (Zhao et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from bench.bases.parts.origin import Origin
from bench.bases.parts.smp import SmpBase


@dataclass(kw_only=True)
class PSPNet(SmpBase):
    """PSPNet through segmentation-models-pytorch; 48,800,833 parameters with its ResNet-101 encoder.

    Dilated to output stride 8 and using all five encoder stages, as the PSPNet paper does. Of the paper's network smp
    leaves out the auxiliary head and the batch norm of the bin-1 branch, and fuses with 1x1 instead of 3x3.

    Args:
        stages: ``all``, or ``three``: smp's own default, which ends the encoder at stride 8. It carries the weights of
            layer3 and layer4 (41,055,232 of its 43,293,121 parameters with ResNet-101) and never uses them.

    Example:
        >>> from bases.pspnet import PSPNet
        >>> sum(parameter.numel() for parameter in PSPNet(size=64).network().parameters())
        48800833
    """

    origin: ClassVar[Origin] = Origin(paper="Zhao et al., CVPR 2017", code="segmentation-models-pytorch", licence="MIT")

    encoder: str = "resnet101"
    stages: Literal["all", "three"] = "all"

    def build(self) -> Any:
        """See `SmpBase.build`."""
        import segmentation_models_pytorch as smp

        if self.stages == "three":
            return smp.PSPNet(self.encoder, encoder_weights=None)
        network = smp.PSPNet(self.encoder, encoder_weights=None, encoder_depth=5, upsampling=8)
        network.encoder.make_dilated(output_stride=8)
        return network
