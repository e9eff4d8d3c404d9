"""Pretrained encoders of segmentation-models-pytorch: their input and their weights, for bases and refiners."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from bench.contracts import UserError

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
TIMM = "tu-"

EncoderWeights = Path | Literal["imagenet", "none"]


def normalisation(encoder: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std of RGB in [0, 1] that the encoder's ImageNet weights were trained with."""
    if not encoder.startswith(TIMM):
        return IMAGENET
    import timm

    config = timm.get_pretrained_cfg(encoder.removeprefix(TIMM))
    return (tuple(config.mean), tuple(config.std)) if config else IMAGENET


def no_such_encoder(encoder: str, error: Exception) -> UserError:
    """The error for a name that smp refused with ``error``."""
    reason = " ".join(str(error).split())[:120]
    fix = "use a name of smp, or tu-NAME of timm"
    return UserError(f"no such encoder, {reason}", f"encoder={encoder}", fix)


def normalised(pixels: Tensor, encoder: str) -> Tensor:
    """``Bx3xHxW`` of 0..255 -> the encoder's input, float32, channels last."""
    mean, std = (torch.tensor(v, device=pixels.device).view(1, 3, 1, 1) * 255 for v in normalisation(encoder))
    return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)


def load_encoder(module: Any, encoder: str, weights: EncoderWeights) -> None:
    """Load an smp encoder's pretrained weights, if any.

    Args:
        module: the smp encoder.
        encoder: its name.
        weights: ``imagenet``: smp downloads them; ``none``; or a file with the keys of the encoder.

    Raises:
        UserError: they cannot be had, or do not fit.
    """
    if isinstance(weights, Path):
        load_state(module, weights)
    elif weights == "imagenet":
        _load_imagenet(module, encoder)


def _load_imagenet(module: Any, encoder: str) -> None:
    import segmentation_models_pytorch as smp

    try:
        pretrained = smp.encoders.get_encoder(encoder, depth=module._depth, weights="imagenet")
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise UserError(
            f"no ImageNet weights to be had for {encoder} ({type(error).__name__})",
            "encoder_weights=imagenet",
            "bring them: encoder_weights=FILE.safetensors, or encoder_weights=none",
        ) from None
    module.load_state_dict(pretrained.state_dict())


def load_state(module: nn.Module, path: Path) -> None:
    """Load a state dict from safetensors or, without unpickling code, from a torch file.

    Raises:
        UserError: unreadable, or keys or shapes differ; the first differences are named.
    """
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        own = module.state_dict()
        missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
        wrong = [key for key in own if key in state and own[key].shape != state[key].shape]
        if not missing and not wrong:
            module.load_state_dict({key: value for key, value in state.items() if key in own}, strict=False)
            return
    except Exception as error:
        # torch.load and safetensors raise a dozen types for a file that is not theirs.
        raise UserError(
            f"unreadable weights, {type(error).__name__}", path, "name a safetensors or torch file"
        ) from None
    kinds = [f"missing {', '.join(missing[:3])}"] if missing else []
    kinds += [f"of another shape {', '.join(wrong[:3])}"] if wrong else []
    raise UserError(f"weights of another network: {'; '.join(kinds)}", path, "name a file made for this one")
