"""A finished training on disk: one safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from bench.contracts import UserError
from bench.files import replacing

WEIGHTS = "weights.safetensors"


def save_weights(network: nn.Module, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write parameters and buffers as safetensors, renamed into place.

    Args:
        network: the module whose ``state_dict`` is written.
        path: the file; an older one is replaced.
        metadata: what the file says of itself, e.g. the sizes that `read_metadata` lets a reader build the network
            from.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata=dict(metadata) if metadata else None)


def load_weights(network: nn.Module, path: Path) -> None:
    """Load what `save_weights` wrote.

    Raises:
        UserError: the file is missing, damaged, or of another network.
    """
    _check_there(path)
    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, OSError, RuntimeError) as error:
        raise _unfit(path, error) from None


def read_metadata(path: Path) -> dict[str, str]:
    """What the weights file says of itself: `save_weights`' ``metadata``. The weights are not read.

    Raises:
        UserError: the file is missing, damaged, or says nothing.
    """
    _check_there(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] | None = file.metadata()
    except (SafetensorError, OSError) as error:
        raise _unfit(path, error) from None
    if not metadata:
        raise UserError("the weights do not say what network they are of", path, "name a file that a training wrote")
    return metadata


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise UserError("no such weights", path, "name the file that a training wrote")


def _unfit(path: Path, error: Exception) -> UserError:
    problem = " ".join(str(error).split())[:200]
    return UserError(f"unfit weights, {problem}", path, "delete the file to train again, or name another")


def load_finished(network: nn.Module, workdir: Path) -> bool:
    """Load the weights of a finished training, if there is one, and put the network into eval mode.

    Ask this before you build the samples: `train` would not read them.
    """
    if not (workdir / WEIGHTS).is_file():
        return False
    load_weights(network, workdir / WEIGHTS)
    network.eval()
    return True
