"""From a network that takes windows of one size to the map of a whole image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.contracts import UserError
from bench.training.turns import TURNS, turned, turned_back

TestTime = Literal["none", "flips", "turns"]
"""Views whose maps are averaged: the image alone; it and its flips (4); all flips and quarter turns (8)."""

Model: TypeAlias = Callable[[Tensor], Tensor]
"""``Bx3xHxW`` pixels of 0..255 -> probabilities ``Bx1xHxW``."""

VIEWS: dict[TestTime, Sequence[int]] = {"none": (0,), "flips": (0, 4, 2, 6), "turns": TURNS}
"""Name -> those of `turns.TURNS`, in the order in which their maps are summed."""


def whole_float32() -> AbstractContextManager[None]:
    """A GPU's convolutions in whole float32, and repeatable: PyTorch's default, TF32, is a thousandth off."""
    # Named, as `flags` turns off what it is not told to leave on.
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)


_SHARE_OF_MEMORY = 0.8
"""Of a GPU's free memory that a batch may take."""


def averaged(model: Model, views: TestTime, scales: Sequence[float], multiple: int) -> Model:
    """A model that averages ``model`` over views and scales of its input.

    Args:
        views: with ``turns`` rows and columns must be equal in number.
        scales: factors of the input's sides.
        multiple: a scaled side is rounded to a multiple of this.
    """

    def mean(pixels: Tensor) -> Tensor:
        total = pixels.new_zeros((len(pixels), 1, *pixels.shape[2:]), dtype=torch.float32)
        for scale in scales:
            sides = [max(1, round(side * scale / multiple)) * multiple for side in pixels.shape[2:]]
            scaled = pixels if scale == 1 else _resized(pixels.float(), sides)
            for turn in VIEWS[views]:
                probs = turned_back(model(turned(scaled, turn)).float(), turn)
                total += probs if scale == 1 else _resized(probs, pixels.shape[2:])
        return total / (len(scales) * len(VIEWS[views]))

    single = views == "none" and tuple(scales) == (1.0,)
    return model if single else mean


def tiled(model: Model, pixels: Tensor, tile: int, overlap: int) -> Tensor:
    """A map ``1x1xHxW`` from square windows of an image ``1x3xHxW`` of any size.

    Neighbours overlap by ``overlap`` pixels or more; there the windows' weights fall off linearly to their borders.
    An image smaller than a window is mirrored up to its size.

    Args:
        tile: the windows' side in pixels.
        overlap: less than ``tile``.
    """
    rows, columns = pixels.shape[2:]
    padded = _mirrored(pixels, max(tile, rows), max(tile, columns))
    corners = [
        (top, left)
        for top in _starts(padded.shape[2], tile, overlap)
        for left in _starts(padded.shape[3], tile, overlap)
    ]
    ramp = (torch.arange(tile, device=pixels.device) + 0.5).clamp(max=max(overlap, 1))
    ramp = torch.minimum(ramp, ramp.flip(0))
    window = ramp[:, None] * ramp
    total = padded.new_zeros((1, 1, *padded.shape[2:]), dtype=torch.float32)
    weight = torch.zeros_like(total)
    windows = torch.cat([padded[..., top : top + tile, left : left + tile] for top, left in corners])
    for (top, left), probs in zip(corners, in_batches(model, windows), strict=True):
        total[0, 0, top : top + tile, left : left + tile] += probs[0] * window
        weight[0, 0, top : top + tile, left : left + tile] += window
    return (total / weight)[..., :rows, :columns]


def in_batches(model: Model, pixels: Tensor, size: int = 1) -> Tensor:
    """The model's maps of all inputs, in batches as large as the memory holds: halved where it ran out.

    On a GPU the first batch's peak tells how many fit.

    Args:
        size: of the first batch, and of all on a CPU.

    Raises:
        UserError: not even one fits.
    """
    maps: list[Tensor] = []
    done = 0
    while done < len(pixels):
        try:
            if pixels.is_cuda:
                torch.cuda.reset_peak_memory_stats(pixels.device)
                before = torch.cuda.memory_allocated(pixels.device)
            maps.append(model(pixels[done : done + size]))
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            if size == 1:
                sides = "x".join(str(side) for side in pixels.shape[2:])
                fix = "cut images with tile=512, or take a smaller size="
                raise UserError(f"no memory for an input of {sides} pixels", pixels.device.type, fix) from None
            size //= 2
            if pixels.is_cuda:
                torch.cuda.empty_cache()
            continue
        if pixels.is_cuda and done == 0:
            peak = torch.cuda.max_memory_allocated(pixels.device) - before
            free = torch.cuda.mem_get_info(pixels.device)[0] * _SHARE_OF_MEMORY
            done, size = size, max(1, int(free // max(peak / size, 1)))
        else:
            done += size
    return torch.cat(maps)


def _out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error)


def _resized(values: Tensor, sides: Sequence[int]) -> Tensor:
    return F.interpolate(values, list(sides), mode="bilinear", align_corners=False, antialias=True)


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    """Evenly spread first pixels of the fewest windows that cover a side."""
    count = 1 + max(0, -(-(length - tile) // (tile - overlap)))
    return [round(index * (length - tile) / max(1, count - 1)) for index in range(count)]


def _mirrored(pixels: Tensor, rows: int, columns: int) -> Tensor:
    """Extended below and to the right by mirroring, as often as it takes."""
    for axis, length in ((2, rows), (3, columns)):
        present = pixels.shape[axis]
        index = torch.arange(length, device=pixels.device) % (2 * present)
        pixels = pixels.index_select(axis, torch.where(index < present, index, 2 * present - 1 - index))
    return pixels
