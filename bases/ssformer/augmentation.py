"""SSFormer's own changes of an image and of a mask's border."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2


class Sharpness(v2.Transform):
    """Sharpen the image by a factor of 1 to 1.1."""

    _transformed_types = (tv_tensors.Image,)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """The factor."""
        return {"factor": 1 + 0.1 * float(torch.rand(()))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """An image, sharpened."""
        return v2.functional.adjust_sharpness(inpt, params["factor"])


class Border(v2.Transform):
    """Dilate the mask, erode it, or leave it, each as likely, by an ellipse of 2 to 4 pixels."""

    _transformed_types = (tv_tensors.Mask,)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Which, and the ellipse's side."""
        return {"change": int(torch.randint(3, ())), "side": int(torch.randint(2, 5, ()))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """A mask ``1xHxW``, changed."""
        change = (None, cv2.dilate, cv2.erode)[params["change"]]
        if change is None:
            return inpt
        ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (params["side"],) * 2)
        changed = change(inpt[0].numpy().astype(np.uint8), ellipse)
        return tv_tensors.wrap(torch.from_numpy(changed)[None].to(inpt.dtype), like=inpt)
