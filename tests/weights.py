"""Checkpoints changed on purpose: a test that loads weights can see that they matter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor


def changed(path: Path) -> Path:
    """A copy beside it, of which one tensor differs: the first convolution's weights ``OxIxkxk``, half as large again.

    Args:
        path: a safetensors file, whose metadata stay; or torch's, of a state or with one under ``state_dict``.
    """
    target = path.with_name(f"changed-{path.name}")
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            state, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
        _change(state)
        save_file(state, target, metadata)
    else:
        content: dict[str, Any] = torch.load(path, weights_only=True)
        _change(content.get("state_dict", content))
        torch.save(content, target)
    return target


def _change(state: dict[str, Tensor]) -> None:
    name = next(name for name, value in state.items() if value.ndim == 4 and value.is_floating_point())
    state[name] = state[name] * 1.5
