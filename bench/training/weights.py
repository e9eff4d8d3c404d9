"""A finished training on disk: one safetensors file."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from bench.contracts import UserError
from bench.files import replacing

WEIGHTS = "weights.safetensors"


def save_weights(network: nn.Module, path: Path) -> None:
    """Write parameters and buffers as safetensors, renamed into place."""
    with replacing(path) as temporary:
        save_file({name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}, temporary)


def load_weights(network: nn.Module, path: Path) -> None:
    """Load what `save_weights` wrote.

    Raises:
        UserError: the file is missing, damaged, or of another network.
    """
    try:
        network.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise UserError("no such weights", path, "name the file that a training wrote") from None
    except (SafetensorError, OSError, RuntimeError) as error:
        problem = " ".join(str(error).split())[:200]
        raise UserError(f"unfit weights, {problem}", path, "delete the file to train again, or name another") from None


def load_finished(network: nn.Module, workdir: Path) -> bool:
    """Load the weights of a finished training, if there is one, and put the network into eval mode.

    Ask this before you build the samples: `train` would not read them.
    """
    if not (workdir / WEIGHTS).is_file():
        return False
    load_weights(network, workdir / WEIGHTS)
    network.eval()
    return True
