"""Checkpoints of any origin -> tensors by name. No code in a file is run."""

from __future__ import annotations

import re
import warnings
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from bench.contracts import UserError

NESTED = ("state_dict", "model_state_dict", "model", "network", "net", "weights", "params", "state")
"""Under which keys training scripts keep the network's tensors beside the optimiser's and their notes."""

PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""

_SHOWN = 3

# Notes that training scripts leave beside the weights: a numpy number (the best score) and the command line's options.
# Reading them back runs nothing of the file's choosing.
_NUMPY_SCALAR = np.float64(0).__reduce__()[0]
_HARMLESS: list[Any] = [
    Namespace,
    np.dtype,
    *(type(np.dtype(code)) for code in ("f4", "f8", "i4", "i8", "b1")),
    (_NUMPY_SCALAR, "numpy.core.multiarray.scalar"),
    (_NUMPY_SCALAR, "numpy._core.multiarray.scalar"),
]


def read_state(path: Path, damaged: str = "fetch it again, or name another file") -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, on the CPU, without the prefixes of `PREFIXES`.

    Args:
        path: safetensors, or what ``torch.save`` wrote (``.th``, ``.pth``, ``.pth.tar``, ...): a state dict, alone or
            under one of `NESTED`, with an optimiser's state and notes beside it or not.
        damaged: the end of the error's line where the file cannot be read.

    Raises:
        UserError: the file is missing, damaged, holds anything that would have to be executed, no tensors, or NaN.
    """
    if not path.is_file():
        raise UserError("no such weights", path, "name an existing checkpoint")
    return _checked(_tensors(_read(path, damaged), path), path)


def load_state(
    module: nn.Module,
    path: Path,
    *,
    adapt: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
    surplus: bool = False,
    fix: str = "name a file made for this one",
    damaged: str = "fetch it again, or name another file",
) -> None:
    """Load a checkpoint into ``module``, all of it or nothing.

    Args:
        path: as `read_state`.
        adapt: turns the file's names into the module's.
        surplus: whether the file may hold more than the module, e.g. a classifier above an encoder.
        fix: the end of the error's line where the file is of another network.
        damaged: as `read_state`.

    Raises:
        UserError: as `read_state`; or keys are missing, unexpected or of another shape: the first of each are named.
    """
    state = read_state(path, damaged)
    fit_state(module, adapt(state) if adapt else state, path, surplus=surplus, fix=fix)


def fit_state(
    module: nn.Module,
    state: Mapping[str, Tensor],
    where: object,
    *,
    surplus: bool = False,
    fix: str = "name a file made for this one",
) -> None:
    """As `load_state`, from tensors. A missing ``num_batches_tracked`` is passed over: torch before 0.4.1 had none."""
    own = module.state_dict()
    problems = {
        "missing": [key for key in own if key not in state and not key.endswith("num_batches_tracked")],
        "unexpected": [] if surplus else [key for key in state if key not in own],
        "of another shape": [
            f"{key} ({_size(state[key])}, not {_size(own[key])})"
            for key in own
            if key in state and own[key].shape != state[key].shape
        ],
    }
    said = [f"{problem} {_some(keys)}" for problem, keys in problems.items() if keys]
    if said:
        raise UserError(f"weights of another network: {'; '.join(said)}", where, fix)
    module.load_state_dict({key: state.get(key, value) for key, value in own.items()})


def _read(path: Path, damaged: str) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals(_HARMLESS), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of pickle protocols that damaged files claim
            return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise UserError(*_refusal(str(error), path, damaged)) from None
    except Exception as error:
        # torch raises anything for a file that is torn, or not its own: IndexError, struct.error, AssertionError, ...
        reason = f"damaged or no checkpoint, {type(error).__name__}"
        raise UserError(f"unreadable weights, {reason}", path, damaged) from None


def _refusal(message: str, path: Path, damaged: str) -> tuple[str, object, str]:
    """What, where and fix for a pickle that torch would not read without running code."""
    named = re.search(r"GLOBAL ([\w.]+)", message) or re.search(r"class ([\w.]+)", message)
    if named is None:
        return "unreadable weights, damaged or no checkpoint", path, damaged
    what = f"the file holds {named[1]}, which would run code; nothing of it was executed"
    return what, path, "save the network's state_dict alone, best as safetensors"


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    while isinstance(content, Mapping):
        if content and all(isinstance(value, Tensor) for value in content.values()):
            return {_plain(str(key)): value.detach() for key, value in content.items()}
        inner = next((content[key] for key in NESTED if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    fix = f"name a file of a state dict, alone or under one of the keys {', '.join(NESTED)}"
    raise UserError("no weights in it", path, fix)


def _plain(key: str) -> str:
    for prefix in PREFIXES:
        key = key.removeprefix(prefix)
    return key


def _checked(state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    bad = [key for key, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if bad:
        raise UserError(f"NaN or infinite weights: {_some(bad)}", path, "name a checkpoint of a training that held")
    return state


def _some(keys: list[str]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(keys[:_SHOWN]) + more


def _size(tensor: Tensor) -> str:
    return "x".join(str(side) for side in tensor.shape) or "scalar"
