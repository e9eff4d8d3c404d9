"""ResUNet-a's loss, and what its four tasks should say of an image and its mask."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

SMOOTH = 1e-5


def tanimoto_loss(probs: Tensor, target: Tensor) -> Tensor:
    """1 - the mean of the Tanimoto coefficients of probabilities and target and of their complements.

    A channel's weight is one over the square of its sum in the target, averaged over the batch. So the smoothing
    constant of 1e-5 counts against one over that sum: with one channel of 65,536 px it makes up 40 percent of the
    terms.

    Args:
        probs, target: float32 ``BxCxHxW`` in [0, 1].

    Returns:
        A scalar: the mean over the batch.
    """
    return 1 - (_tanimoto(probs, target) + _tanimoto(1 - probs, 1 - target)).mean() / 2


def _tanimoto(probs: Tensor, target: Tensor) -> Tensor:
    """``(B,)``; 1 where the target is empty in the whole batch."""
    weight = target.sum((2, 3)).mean(0).square().reciprocal()
    # A channel that is nowhere weighs as much as the rarest of the others.
    present = weight.isfinite()
    weight = torch.where(present, weight, torch.where(present, weight, 0).max())
    common = (weight * (probs * target).sum((2, 3))).sum(1)
    squares = (weight * (probs.square() + target.square()).sum((2, 3))).sum(1)
    return (common + SMOOTH) / (squares - common + SMOOTH)


def targets(mask: Tensor, image: Tensor) -> dict[str, Tensor]:
    """What each task should say.

    Args:
        mask: float ``Bx1xHxW`` of 0 and 1.
        image: float ``Bx3xHxW`` RGB in [0, 1].

    Returns:
        Float32 on the mask's device, each in [0, 1]: ``mask`` as it is; ``boundary`` ``Bx1xHxW``, see `boundary`;
        ``distance`` ``Bx1xHxW``, see `distance`; ``colour`` ``Bx3xHxW``: hue / 360 degrees, saturation and value.
    """
    masks = mask[:, 0].to("cpu", torch.uint8).numpy()
    pictures = image.detach().to("cpu", torch.float32).permute(0, 2, 3, 1).contiguous().numpy()
    colours = np.stack([cv2.cvtColor(picture, cv2.COLOR_RGB2HSV) for picture in pictures])
    colours[..., 0] /= 360
    found = {
        "boundary": np.stack([boundary(each) for each in masks])[:, None],
        "distance": np.stack([distance(each) for each in masks])[:, None],
        "colour": colours.transpose(0, 3, 1, 2),
    }
    return {"mask": mask, **{name: torch.from_numpy(value).to(mask.device) for name, value in found.items()}}


def boundary(mask: np.ndarray) -> np.ndarray:
    """Float32 ``(H, W)`` of 0 and 1: Canny's edges of a uint8 mask of 0 and 1, and the four neighbours of each."""
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return (cv2.dilate(cv2.Canny(mask, 0, 1), cross) > 0).astype(np.float32)


def distance(mask: np.ndarray) -> np.ndarray:
    """Float32 ``(H, W)``: each foreground pixel's distance to the background over the largest one; 0 outside.

    Args:
        mask: uint8 ``(H, W)`` of 0 and 1; where all of it is foreground, every distance is 1.
    """
    if mask.all():
        return np.ones(mask.shape, np.float32)
    pixels = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return pixels / max(pixels.max(), 1)
