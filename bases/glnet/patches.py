"""Where GLNet's patches lie, and how maps go from the whole image to a patch and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST_OVERLAP = 50  # px

Corner: TypeAlias = tuple[int, int]
"""Top and left of a patch in the image, in pixels."""


@dataclass(frozen=True)
class PatchGrid:
    """The square patches that cover a square image, as evenly spaced as whole pixels allow.

    They are as few a side as overlap by 50 pixels or more: 3 for 508 pixels in 1024, 6 in 2448 (the authors' code).

    Attributes:
        size: the image's side in pixels.
        patch: a patch's side in pixels, more than 50 and at most ``size``.

    Example:
        >>> PatchGrid(size=1024, patch=508).offsets
        [0, 258, 516]
    """

    size: int
    patch: int

    @property
    def offsets(self) -> list[int]:
        """The patches' tops (and lefts), in pixels."""
        spare = self.size - self.patch
        if spare == 0:
            return [0]
        count = max(2, -(-self.size // self.patch))
        while self.patch - spare / (count - 1) < LEAST_OVERLAP:
            count += 1
        return [round(index * spare / (count - 1)) for index in range(count)]

    @property
    def corners(self) -> list[Corner]:
        """All patches, row by row."""
        return [(top, left) for top in self.offsets for left in self.offsets]

    def cut(self, maps: Tensor) -> Tensor:
        """``BxCxSxS`` -> its patches at full resolution, ``BxNxCxpxp``."""
        side = self.patch
        return torch.stack([maps[..., top : top + side, left : left + side] for top, left in self.corners], dim=1)

    def crop(self, whole: Tensor, corners: Sequence[Corner], size: Sequence[int]) -> Tensor:
        """What a map of the whole image, ``1xCxHxW``, shows at each corner's patch: ``NxCx*size``."""
        crops = [whole[..., rows, columns] for rows, columns in self._boxes(whole, corners)]
        return torch.cat([bilinear(crop, size) for crop in crops])

    def paste(self, canvas: Tensor, corners: Sequence[Corner], maps: Tensor) -> None:
        """Add to ``canvas`` ``1xCxHxW``, of the whole image, ``maps`` ``NxCxhxw``, each resized to its patch's box."""
        for (rows, columns), one in zip(self._boxes(canvas, corners), maps.split(1), strict=True):
            box = canvas[..., rows, columns]
            box += bilinear(one, box.shape[-2:])

    def cover(self, like: Tensor) -> Tensor:
        """How many patches lie over each pixel of a map of the whole image, ``1x1xHxW``, H and W as of ``like``.

        Counted at the image's size and resized: fractions along the patches' borders.
        """
        return bilinear(self._counts(like), like.shape[-2:])

    def assemble(self, patches: Tensor, mode: str, average: bool) -> Tensor:
        """``BxNxhxw`` -> ``Bx1xSxS``: each patch interpolated to its size by ``mode``, overlaps averaged or summed."""
        upsampled = F.interpolate(patches, (self.patch, self.patch), mode=mode)
        canvas = upsampled.new_zeros(len(patches), 1, self.size, self.size)
        for index, (top, left) in enumerate(self.corners):
            canvas[:, 0, top : top + self.patch, left : left + self.patch] += upsampled[:, index]
        return canvas / self._counts(canvas) if average else canvas

    def _counts(self, like: Tensor) -> Tensor:
        counts = like.new_zeros(1, 1, self.size, self.size)
        for top, left in self.corners:
            counts[..., top : top + self.patch, left : left + self.patch] += 1
        return counts

    def _boxes(self, whole: Tensor, corners: Sequence[Corner]) -> list[tuple[slice, slice]]:
        """Rows and columns of each patch in a map of the whole image. Halves round to even, as numpy's do."""
        height, width = whole.shape[-2:]
        ratio = self.patch / self.size
        boxes = []
        for top, left in corners:
            row, column = round(top / self.size * height), round(left / self.size * width)
            boxes.append((slice(row, row + round(ratio * height)), slice(column, column + round(ratio * width))))
        return boxes


def bilinear(maps: Tensor, size: Sequence[int]) -> Tensor:
    """``BxCxHxW`` -> ``BxCx*size``, corners not aligned, as everywhere in GLNet."""
    return F.interpolate(maps, tuple(size), mode="bilinear", align_corners=False)
