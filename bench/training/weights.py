"""A finished training on disk: one safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from bench.contracts import UserError
from bench.runtime.files import replacing
from bench.training.checkpoints import load_state

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
        UserError: the file is missing, damaged, holds NaN, or is of another network.
    """
    remedy = "delete the file to train again, or name another"
    load_state(network, path, fix=remedy, damaged=remedy)


def read_metadata(path: Path) -> dict[str, str]:
    """What the weights file says of itself: `save_weights`' ``metadata``. The weights are not read.

    Raises:
        UserError: the file is missing, damaged, or says nothing.
    """
    if not path.is_file():
        raise UserError("no such weights", path, "name the file that a training wrote")
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] | None = file.metadata()
    except (SafetensorError, OSError) as error:
        problem = " ".join(str(error).split())[:200]
        raise UserError(f"unreadable weights, {problem}", path, "name a file that a training wrote") from None
    if not metadata:
        raise UserError("the weights do not say what network they are of", path, "name a file that a training wrote")
    return metadata


def load_finished(network: nn.Module, workdir: Path) -> bool:
    """Load the weights of a finished training, if there is one, and put the network into eval mode.

    Ask this before you build the samples: `train` would not read them.
    """
    if not (workdir / WEIGHTS).is_file():
        return False
    load_weights(network, workdir / WEIGHTS)
    network.eval()
    return True
