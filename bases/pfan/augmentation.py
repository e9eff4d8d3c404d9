"""PFAN's own change of an image."""

from __future__ import annotations

from typing import Any

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

SPREAD = 0.5
SHIFT = 20
"""Of 255."""


class Brightness(v2.Transform):
    """All values of an image times 0.5 to 1.5, plus -20 to 19 of 255, clipped: both codes call the factor contrast,
    but it spares black, not grey."""

    _transformed_types = (tv_tensors.Image,)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Factor and shift."""
        factor = 1 - SPREAD + 2 * SPREAD * float(torch.rand(()))
        return {"factor": factor, "shift": int(torch.randint(-SHIFT, SHIFT, ()))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """A uint8 image, changed."""
        changed = (inpt.float() * params["factor"] + params["shift"]).round().clamp(0, 255)
        return tv_tensors.wrap(changed.to(inpt.dtype), like=inpt)
