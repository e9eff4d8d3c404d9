"""Pretrained encoders: their input and their weights, for bases and refiners."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from bench.contracts import UserError
from bench.training.checkpoints import load_state, read_state
from bench.training.hub import downloadable, hub
from bench.training.preprocessing import IMAGENET, Preprocessing

TIMM = "tu-"

EncoderWeights = Path | Literal["imagenet", "none"]


def preprocessing(encoder: str) -> Preprocessing:
    """What the ImageNet weights of an smp encoder were trained with."""
    if not encoder.startswith(TIMM):
        return IMAGENET
    import timm

    config = timm.get_pretrained_cfg(encoder.removeprefix(TIMM))
    return Preprocessing(mean=tuple(config.mean), std=tuple(config.std)) if config else IMAGENET


def no_such_encoder(encoder: str, error: Exception) -> UserError:
    """The error for a name that smp refused with ``error``."""
    reason = " ".join(str(error).split())[:120]
    fix = "use a name of smp, or tu-NAME of timm"
    return UserError(f"no such encoder, {reason}", f"encoder={encoder}", fix)


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
        load_state(module, weights, surplus=True)
    elif weights == "imagenet":
        _load_imagenet(module, encoder)


def _load_imagenet(module: Any, encoder: str) -> None:
    import segmentation_models_pytorch as smp

    try:
        with hub():
            pretrained = smp.encoders.get_encoder(encoder, depth=module._depth, weights="imagenet")
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise no_imagenet(encoder, error, _published(encoder)) from None
    module.load_state_dict(pretrained.state_dict())


def no_imagenet(model: str, error: Exception, source: str) -> UserError:
    """The error for ImageNet weights whose download failed with ``error``.

    Args:
        model: whose weights.
        source: where the user finds the file.
    """
    return UserError(
        f"no ImageNet weights to be had for {model} ({type(error).__name__})",
        "encoder_weights=imagenet",
        f"bring {source} and give encoder_weights=FILE, or encoder_weights=none",
    )


def _published(encoder: str) -> str:
    """Where an smp encoder's ImageNet weights lie."""
    from segmentation_models_pytorch.encoders import encoders

    if encoder.startswith(TIMM):
        return f"huggingface.co/timm/{encoder.removeprefix(TIMM)} (with the key names of the smp encoder)"
    settings = encoders.get(encoder, {}).get("pretrained_settings", {}).get("imagenet", {})
    return f"huggingface.co/{settings['repo_id']} (model.safetensors)" if "repo_id" in settings else "its weights"


def imagenet_state(model: str, weights: EncoderWeights) -> dict[str, Tensor] | None:
    """ImageNet weights of a torchvision classifier by its own names, e.g. ``layer1.0.conv1.weight``; None for ``none``.

    Args:
        model: torchvision's name, e.g. ``resnet34`` or ``vgg16``.
        weights: ``imagenet``: torchvision downloads its first ImageNet weights; ``none``; or a file with those names.

    Raises:
        UserError: they cannot be had, or the file cannot be read.
    """
    if isinstance(weights, Path):
        return read_state(weights)
    if weights == "none":
        return None
    from torchvision.models import get_model_weights

    published = get_model_weights(model)["IMAGENET1K_V1"]
    try:
        downloadable(published.url, Path(torch.hub.get_dir()) / "checkpoints" / Path(published.url).name)
        # The download is checked against the hash in its name and read without running code.
        state: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
            published.url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:
        raise no_imagenet(model, error, published.url) from None
    return state
