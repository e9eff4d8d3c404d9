"""GLNet (Chen et al., CVPR 2019): the whole image and its patches, each fed by the other."""

from __future__ import annotations

from bases.glnet.base import GLNet

__all__ = ["GLNet"]
