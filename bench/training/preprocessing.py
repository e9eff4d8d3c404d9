"""Pixels -> a network's input."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.images import IMAGENET_MEAN, IMAGENET_STD


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """``(x / 255 - mean) / std``, channel by channel.

    Attributes:
        mean, std: of RGB in [0, 1]; with ``bgr`` in the order blue, green, red.
        bgr: the network takes blue, green, red, as OpenCV reads.

    Example:
        >>> import torch
        >>> Preprocessing(mean=(0.5,) * 3, std=(0.25,) * 3)(torch.full((1, 3, 1, 1), 255)).flatten().tolist()
        [2.0, 2.0, 2.0]
    """

    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    bgr: bool = False

    def __call__(self, pixels: Tensor) -> Tensor:
        """``Bx3xHxW`` RGB of 0..255 -> float32, channels last (the fastest layout for convolutions on a CPU)."""
        mean, std = (torch.tensor(v, device=pixels.device).view(1, 3, 1, 1) * 255 for v in (self.mean, self.std))
        ordered = pixels.flip(1) if self.bgr else pixels
        return ((ordered - mean) / std).contiguous(memory_format=torch.channels_last)


IMAGENET = Preprocessing(mean=IMAGENET_MEAN, std=IMAGENET_STD)
UNIT = Preprocessing()
"""Values in [0, 1]."""
