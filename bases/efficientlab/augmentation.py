"""The random changes that EfficientLab's inner loop makes to its few images."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

RATE = 0.5
ERASED = (0.02, 0.1)
SHIFT = 23 / 224
ROTATION = 45.0
NOISE, EXPOSURE, SPREAD = 5.1 / 255, 12.75 / 255, 1 / 255

Change = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""An image 3xSxS in [0, 1] and its mask 1xSxS of 0 and 1 -> both, changed; draws from torch's generator."""


def augmented(images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Each sample, with probability 0.5, after a random non-empty subset of six changes in random order.

    Args:
        images: float Bx3xSxS in [0, 1].
        masks: float Bx1xSxS of 0 and 1.

    Returns:
        New tensors of the same shapes; images may leave [0, 1] a little, as the authors do not clip.
    """
    pairs = [_changed(*pair) if _uniform(0, 1) < RATE else pair for pair in zip(images, masks, strict=True)]
    return torch.stack([image for image, _ in pairs]), torch.stack([mask for _, mask in pairs])


def _changed(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    count = int(torch.randint(1, len(CHANGES) + 1, ()))
    for index in torch.randperm(len(CHANGES))[:count].tolist():
        image, mask = CHANGES[index](image, mask)
    return image, mask


def erase(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """A rectangle of 2 to 10 % of the area becomes noise, and background."""
    side, area, ratio = image.shape[-1], _uniform(*ERASED), _uniform(0.5, 2.0)
    height, width = (max(1, round(side * math.sqrt(area * shape))) for shape in (ratio, 1 / ratio))
    top, left = _below(side - height + 1), _below(side - width + 1)
    hole = (..., slice(top, top + height), slice(left, left + width))
    image, mask = image.clone(), mask.clone()
    image[hole] = torch.rand(3, height, width).to(image)
    mask[hole] = 0
    return image, mask


def translate(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Moved by up to 23 of 224 pixels each way; what leaves comes back on the other side, or black does."""
    most, roll = round(SHIFT * image.shape[-1]), _below(2) == 1
    down, right = (_below(2 * most + 1) - most for _ in range(2))
    if roll:
        image, mask = (torch.roll(values, (down, right), (-2, -1)) for values in (image, mask))
    else:
        margin = (right, -right, down, -down)
        image, mask = F.pad(image, margin), F.pad(mask, margin)
    return image, mask


def mirror(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Left and right exchanged."""
    return image.flip(-1), mask.flip(-1)


def add_noise(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Normal noise a value, of a standard deviation that is itself N(5.1, 1) of 255."""
    return image + _deviation(NOISE) * torch.randn(image.shape).to(image), mask


def expose(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The whole image brighter or darker by a normal draw of standard deviation N(12.75, 1) of 255."""
    return image + _deviation(EXPOSURE) * float(torch.randn(())), mask


def rotate(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """By up to 45 degrees; beyond the border is black, the border's colour, or the image mirrored."""
    angle = math.radians(_uniform(-ROTATION, ROTATION))
    border = ("zeros", "border", "reflection")[_below(3)]
    turn = [[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0]]
    grid = F.affine_grid(torch.tensor([turn]).to(image), [1, 1, *image.shape[1:]], align_corners=False)
    turned = F.grid_sample(image[None], grid, "bilinear", border, align_corners=False)[0]
    return turned, F.grid_sample(mask[None], grid, "nearest", border, align_corners=False)[0]


CHANGES: tuple[Change, ...] = (erase, translate, mirror, add_noise, expose, rotate)


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))


def _below(count: int) -> int:
    return int(torch.randint(count, ()))


def _deviation(mean: float) -> float:
    return max(0.0, mean + SPREAD * float(torch.randn(())))
