"""The map of an image of any shape, by a model of one size: the image resized, or cut into tiles."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from bench.bases.parts.framing import Framing, Interpolation, framed, unframed
from bench.contracts import Image, ProbabilityMap
from bench.training.inference import Model, in_batches, tiled
from bench.training.tensors import tensor_of


def resized_map(
    model: Model, image: Image, side: int, framing: Framing, interpolation: Interpolation, device: str
) -> ProbabilityMap:
    """The map of the image brought to ``side`` x ``side``, brought back to the image's size."""
    pixels = _tensor(framed(image, side, framing, interpolation), device)
    probs = in_batches(model, pixels)[0, 0].cpu().numpy()
    return unframed(probs, image.shape[:2], framing)


def tiled_map(model: Model, image: Image, tile: int, overlap: int, device: str) -> ProbabilityMap:
    """The map of the image at its own resolution, from windows of side ``tile``."""
    probs = tiled(model, _tensor(image, device), tile, overlap)[0, 0].cpu().numpy()
    return np.clip(probs, 0, 1)


def _tensor(image: Image, device: str) -> Tensor:
    """uint8 ``1x3xHxW``."""
    return tensor_of(image.transpose(2, 0, 1))[None].to(device)
