"""The reference outputs of published networks on synthetic weights: goldens/networks of the shared folder."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Golden:
    """One network's reference.

    Attributes:
        state: the synthetic weights by the authors' keys.
        inputs: the network's inputs.
        arrays: what was stored, by name (``out0_stride2``, ``mid_logit_stride2``, ``out0_shape``, ...).
    """

    state: dict[str, Tensor]
    inputs: list[Tensor]
    arrays: dict[str, np.ndarray]

    def check(self, name: str, tensor: Tensor, atol: float, rtol: float = 0.0) -> None:
        """Assert that the whole ``tensor`` agrees with what is stored of output ``name``, e.g. ``out0``."""
        (stored,) = [key for key in self.arrays if re.fullmatch(rf"{name}(_stride\d+)?(_cstride\d+)?", key)]
        found = tensor.detach().double()
        shape = self.arrays.get(f"{name}_shape")
        if shape is not None:
            assert tuple(found.shape) == tuple(shape), f"{name}: {tuple(found.shape)}, expected {tuple(shape)}"
        if match := re.search(r"_cstride(\d+)", stored):
            found = found[:, :: int(match[1])]
        if match := re.search(r"_stride(\d+)", stored):
            found = found[..., :: int(match[1]), :: int(match[1])]
        expected = torch.from_numpy(self.arrays[stored]).double()
        # A scalar is stored with one axis.
        torch.testing.assert_close(
            found, expected.reshape(found.shape) if found.ndim == 0 else expected, atol=atol, rtol=rtol
        )


def golden(shared: Path, name: str) -> Golden:
    """The reference of a key file's name, e.g. ``"isdnet_r18_large"``."""
    folder = shared / "goldens" / "networks"
    rule, keys = _module(folder / "make_weights.py"), folder / "keys" / f"{name}.tsv"
    state = {key: torch.from_numpy(np.asarray(value)) for key, value in rule.synthetic_state_dict(keys).items()}
    inputs = [torch.from_numpy(values) for values in rule.synthetic_inputs(keys)]
    with np.load(folder / f"{name}.npz") as arrays:
        return Golden(state, inputs, dict(arrays))


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
