"""CascadePSP's global and local step: from an image and its mask, of any size, to a map of that size.

The arithmetic is the package's (segmentation-refinement 0.6), operation by operation, so that its float32 output comes
out to the last bit: what looks arbitrary here (where corners are aligned, eight rows of padding that nothing needs, the
border) is so because it is there. Its local step runs the network's second and third pass, not the third alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.refiners.cascadepsp.network import STRIDE

BORDER = 16
"""Pixels at a crop's sides that are thrown away, but for those at the image's own edge."""

HIGHEST = 0.9
"""A crop with a larger share of foreground is left as the global step has it."""

LEAST_CROP = 2 * (2 * BORDER + 1)
"""Crops stand half a side less two borders apart: with a smaller side they would not move."""

Levels = Literal[1, 3]


@dataclass(frozen=True)
class Steps:
    """How the two steps are taken.

    Attributes:
        side: longest side in the global step, side of the crops in the local step, pixels.
        levels: passes of the global step, see `global_step`.
        fast: no local step.
        lowest: a crop with a smaller share of foreground is left as the global step has it.
        batch: crops a forward pass of the local step.
    """

    side: int
    levels: Levels
    fast: bool
    lowest: float
    batch: int

    def __call__(self, network: nn.Module, image: Tensor, mask: Tensor) -> Tensor:
        """Probabilities ``1x1xHxW`` of a normalised image ``1x3xHxW`` and its mask ``1x1xHxW`` of -1 and 1."""
        fine, quarter = global_step(network, image, mask, self.side, self.levels)
        size = mask.shape[-2:]
        if self.fast:
            return _brought_back(fine, size, self.side)
        coarse = (F.interpolate(fine, size, mode="bilinear", align_corners=False) > 0.5).float() * 2 - 1
        prior = F.interpolate(quarter, size, mode="bilinear", align_corners=False) * 2 - 1
        return self._local_step(network, image, coarse, prior)

    def _local_step(self, network: nn.Module, image: Tensor, coarse: Tensor, prior: Tensor) -> Tensor:
        """Refine crops of the image; where they overlap their mean counts, where there are none ``coarse`` does."""
        total, weight = torch.zeros_like(coarse), torch.zeros_like(coarse)
        rows, columns = coarse.shape[-2:]
        wanted = [crop for crop in crops(rows, columns, self.side) if self._interesting(crop.of(coarse))]
        for start in range(0, len(wanted), self.batch):
            chosen = wanted[start : start + self.batch]
            parts = [torch.cat([crop.of(whole) for crop in chosen]) for whole in (image, coarse, prior)]
            for crop, probs in zip(chosen, forward(network, *parts)[0], strict=True):
                crop.inner(total)[:] += crop.within(probs)
                crop.inner(weight)[:] += 1
        return torch.where(weight > 0, total / weight, coarse / 2 + 0.5)

    def _interesting(self, coarse: Tensor) -> bool:
        share = (coarse > 0).float().mean()
        return not bool((share > HIGHEST) | (share < self.lowest))


@dataclass(frozen=True)
class Crop:
    """A window of an image of ``rows`` x ``columns`` pixels, and the part of it that is kept."""

    top: int
    left: int
    height: int
    width: int
    rows: int
    columns: int

    def of(self, whole: Tensor) -> Tensor:
        """The window: a view of ``...xROWSxCOLUMNS``."""
        return whole[..., self.top : self.top + self.height, self.left : self.left + self.width]

    def within(self, window: Tensor) -> Tensor:
        """What is kept of a window ``...xHEIGHTxWIDTH``: a view."""
        above, before = BORDER * (self.top > 0), BORDER * (self.left > 0)
        below = BORDER * (self.top + self.height < self.rows)
        behind = BORDER * (self.left + self.width < self.columns)
        return window[..., above : self.height - below, before : self.width - behind]

    def inner(self, whole: Tensor) -> Tensor:
        """Where in the image that is: a view of ``...xROWSxCOLUMNS``."""
        return self.within(self.of(whole))


def crops(rows: int, columns: int, side: int) -> list[Crop]:
    """The local step's windows, column by column: all of one size, the last ones moved back into the image.

    Args:
        rows, columns: of the image.
        side: of the windows, at least `LEAST_CROP`; an image that is shorter or narrower gives smaller windows.
    """
    step = side // 2 - 2 * BORDER
    corners = [
        (min(top, max(0, rows - side)), min(left, max(0, columns - side)))
        for left in range(0, columns + 1, step)
        for top in range(0, rows + 1, step)
    ]
    height, width = min(side, rows), min(side, columns)
    return [Crop(top, left, height, width, rows, columns) for top, left in dict.fromkeys(corners)]


def global_step(network: nn.Module, image: Tensor, mask: Tensor, side: int, levels: Levels) -> tuple[Tensor, Tensor]:
    """The network on the whole image, scaled such that its longest side is ``side``.

    Args:
        levels: 3 is the cascade as released: passes at 1/8, at 1/4 and at full resolution, each told what the ones
            before said. 1 is the last pass alone, told that both said what the mask says.

    Returns:
        Probabilities at full and at a quarter of the resolution, both ``1x1xhxw`` of the scaled size.
    """
    longest = max(mask.shape[-2:])
    if longest > side:
        image, mask = (_scaled(values, side / longest, "area") for values in (image, mask))
    elif longest < side:
        image, mask = _scaled(image, side / longest, "bicubic"), _scaled(mask, side / longest, "bilinear")
    return forward(network, image, mask, *((mask, mask) if levels == 1 else ()))


def forward(network: nn.Module, image: Tensor, mask: Tensor, *priors: Tensor) -> tuple[Tensor, Tensor]:
    """One run of the network on sides of any length: probabilities ``Bx1xHxW`` at full and a quarter resolution.

    Args:
        image, mask: normalised ``Bx3xHxW``, and ``Bx1xHxW`` in [-1, 1].
        priors: what the passes at 1/8 and 1/4 said, ``Bx1xHxW`` in [-1, 1]; those that are missing are run.
    """
    rows, columns = mask.shape[-2:]
    if rows % STRIDE or columns % STRIDE:
        # A side that needs no padding gets eight more, if the other side needs some.
        extra = (0, STRIDE - columns % STRIDE, 0, STRIDE - rows % STRIDE)
        image, mask = F.pad(image, extra), F.pad(mask, extra, value=-1)
        priors = tuple(F.pad(prior, extra, value=-1) for prior in priors)
    logits = network(image, mask, *priors)
    # From the logits: in bfloat16 the network's own probabilities have steps of 1/256 above one half. And before the
    # padding is cut off: torch's sigmoid of a view with gaps differs in its last bit.
    fine, quarter = (logits[name].float().sigmoid()[..., :rows, :columns] for name in ("out_224", "out_56_2"))
    return fine, quarter


def _scaled(values: Tensor, ratio: float, mode: str) -> Tensor:
    sides: Sequence[int] = values.shape[-2:]
    aligned = None if mode == "area" else False
    if min(sides) * ratio < 1:
        # The package stops with an error at lines this thin. Keep a pixel.
        return F.interpolate(values, [max(1, int(side * ratio)) for side in sides], mode=mode, align_corners=aligned)
    return F.interpolate(values, scale_factor=ratio, mode=mode, align_corners=aligned)


def _brought_back(probs: Tensor, size: Sequence[int], side: int) -> Tensor:
    """The global step's map at the image's own size."""
    if max(size) < side:
        return F.interpolate(probs, list(size), mode="area")
    if max(size) > side:
        return F.interpolate(probs, list(size), mode="bilinear", align_corners=True)
    return probs
