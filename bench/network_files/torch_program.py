"""A network that torch reads from a file and runs as it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.network_files.inputs import FileInput
from bench.training.inference import whole_float32
from bench.training.tensors import tensor_of


class TorchProgram:
    """A torch callable as a `bench.network_files.program.Program`.

    Args:
        call: takes the tensors in order; returns a tensor, several, or a mapping of them.
        inputs: what these are.
        device: where it lives.
    """

    def __init__(self, call: Callable[..., Any], inputs: Sequence[FileInput], device: str) -> None:
        self.inputs = inputs
        self._call, self._device = call, device

    def __call__(self, *tensors: np.ndarray) -> dict[str, np.ndarray]:
        given = [
            tensor_of(tensor).to(self._device, getattr(torch, wanted.dtype))
            for wanted, tensor in zip(self.inputs, tensors, strict=True)
        ]
        with torch.inference_mode(), whole_float32():
            found = self._call(*given)
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
