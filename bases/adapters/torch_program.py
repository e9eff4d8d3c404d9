"""A network that torch reads from a file and runs as it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.bases.adapters.inputs import ImageInput
from bench.training.inference import whole_float32
from bench.training.tensors import tensor_of


class TorchProgram:
    """A torch callable as a `bench.bases.adapters.network_file.Program`.

    Args:
        call: takes the image, Bx3xHxW or BxHxWx3; returns a tensor, several, or a mapping of them.
        wanted: its input.
        device: where it lives.
    """

    def __init__(self, call: Callable[[Tensor], Any], wanted: ImageInput, device: str) -> None:
        self.input = wanted
        self._call, self._device = call, device

    def __call__(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        dtype = getattr(torch, self.input.dtype)
        with torch.inference_mode(), whole_float32():
            found = self._call(tensor_of(pixels).to(self._device, dtype))
        return {name: _array(tensor) for name, tensor in _named(found).items()}


def _named(found: Any) -> dict[str, Tensor]:
    """The tensors among what a network returned, by their keys or their numbers."""
    if isinstance(found, Tensor):
        return {"0": found}
    if isinstance(found, Mapping):
        items = [(str(key), value) for key, value in found.items()]
    elif isinstance(found, Sequence):
        items = [(str(number), value) for number, value in enumerate(found)]
    else:
        raise TypeError(f"it returns a {type(found).__name__}")
    return {name: value for name, value in items if isinstance(value, Tensor)}


def _array(tensor: Tensor) -> np.ndarray:
    # numpy has no bfloat16.
    return (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy()
