"""The random changes that EfficientLab's inner loop makes to its few images."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

RATE = 0.5
ERASED = (0.02, 0.1)
SQUAT = 0.3
"""Least ratio of an erased rectangle's sides, and the inverse of the largest."""

SHIFT = 23 / 224
ROTATION = 45.0
Border = Literal["reflect", "mirror", "wrap", "constant"]
BORDERS: tuple[Border, ...] = get_args(Border)
NOISE, EXPOSURE, SPREAD = 5.1 / 255, 12.75 / 255, 1 / 255

Change = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""An image 3xSxS in [0, 1] and its mask 1xSxS of 0 and 1 -> both, changed; draws from torch's generator."""


def augmented(images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Each sample, with probability 0.5, after a random non-empty subset of six changes in random order.

    Args:
        images: float Bx3xSxS in [0, 1].
        masks: float Bx1xSxS of 0 and 1.

    Returns:
        New tensors of the same shapes and ranges.
    """
    pairs = [_changed(*pair) if _uniform(0, 1) < RATE else pair for pair in zip(images, masks, strict=True)]
    return torch.stack([image for image, _ in pairs]), torch.stack([mask for _, mask in pairs])


def _changed(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    count = int(torch.randint(1, len(CHANGES) + 1, ()))
    for index in torch.randperm(len(CHANGES))[:count].tolist():
        image, mask = CHANGES[index](image, mask)
    return image, mask


def erase(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """A rectangle of 2 to 10 % of the area takes one value, drawn from all, and becomes background.

    It begins at any pixel, and ends at the image's border where it would go beyond.
    """
    side, area, ratio = image.shape[-1], _uniform(*ERASED), _uniform(SQUAT, 1 / SQUAT)
    height, width = (int(side * math.sqrt(area * shape)) for shape in (ratio, 1 / ratio))
    top, left = _below(side), _below(side)
    hole = (..., slice(top, top + height), slice(left, left + width))
    image, mask = image.clone(), mask.clone()
    image[hole] = _uniform(0, 1)
    mask[hole] = 0
    return image, mask


def translate(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Moved along one axis by 1 to 23 of 224 pixels; what leaves comes back on the other side, or one colour does.

    The colour is random, and background. In the authors' code it covers a border of the axis that has not moved.
    """
    most, axis = max(1, round(SHIFT * image.shape[-1])), -1 - _below(2)
    by, roll = (1 + _below(most)) * (1 - 2 * _below(2)), _below(2) == 1
    image, mask = (torch.roll(values, by, axis) for values in (image, mask))
    if not roll:
        start = 0 if by > 0 else image.shape[axis] + by
        image.narrow(axis, start, abs(by)).copy_(torch.rand(3, 1, 1))
        mask.narrow(axis, start, abs(by)).zero_()
    return image, mask


def mirror(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Left and right exchanged."""
    return image.flip(-1), mask.flip(-1)


def add_noise(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Normal noise a value, of a standard deviation that is itself N(5.1, 1) of 255; clipped."""
    return (image + _deviation(NOISE) * torch.randn(image.shape).to(image)).clamp(0, 1), mask


def expose(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The whole image brighter or darker by a normal draw of standard deviation N(12.75, 1) of 255; clipped."""
    return (image + _deviation(EXPOSURE) * float(torch.randn(()))).clamp(0, 1), mask


def rotate(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """By up to 45 degrees; beyond the border they go on in one of four ways, each as likely.

    Three are those of `beyond`; the fourth is background, of noise or of one grey, each as likely again. The image is
    interpolated linearly; the authors' scipy takes a cubic spline.
    """
    angle, border = math.radians(_uniform(-ROTATION, ROTATION)), BORDERS[_below(len(BORDERS))]
    side = image.shape[-1]
    places = torch.arange(side) if border == "constant" else beyond(border, side)
    image, mask = (values[:, places.to(values.device)][..., places.to(values.device)] for values in (image, mask))
    # The grid is of the image alone: its corners lie in the middle of what was added.
    share = side / len(places)
    turn = [[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0]]
    grid = share * F.affine_grid(torch.tensor([turn]).to(image), [1, 1, side, side], align_corners=False)
    turned = F.grid_sample(image[None], grid, "bilinear", "border", align_corners=False)[0]
    if border == "constant":
        fill = torch.rand(turned.shape if _below(2) else ()).to(turned)
        turned = torch.where((grid[0].abs() > 1).any(-1), fill, turned)
    return turned, F.grid_sample(mask[None], grid, "nearest", "zeros", align_corners=False)[0]


def beyond(border: Literal["reflect", "mirror", "wrap"], side: int) -> Tensor:
    """Which row (or column) of an image stands where it goes on by half of ``side`` both ways: ``(2 * side,)``.

    scipy's names: ``reflect`` mirrors at the edge of the last pixel, ``mirror`` at its middle, ``wrap``
    begins anew (its ``grid-wrap``).
    """
    margin = side // 2
    places = torch.arange(-margin, side + margin)
    if border == "wrap":
        return places % side
    period = 2 * side if border == "reflect" else max(1, 2 * side - 2)
    folded = places % period
    return torch.minimum(folded, period - (border == "reflect") - folded)


CHANGES: tuple[Change, ...] = (erase, translate, mirror, add_noise, expose, rotate)


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))


def _below(count: int) -> int:
    return int(torch.randint(count, ()))


def _deviation(mean: float) -> float:
    return max(0.0, mean + SPREAD * float(torch.randn(())))
