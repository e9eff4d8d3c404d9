"""CascadePSP's network, by its authors' package, its input, and the files that fit it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts import UserError
from bench.training import fit_state, load_state, read_metadata, seeded
from bench.training.encoders import EncoderWeights, imagenet_state
from bench.training.preprocessing import IMAGENET

CACHE = Path.home() / ".segmentation-refinement" / "model"
"""Where the authors' package keeps the released weights."""

MD5 = "7478d4a9c42ab52beb6d7e9683402fe0"
RELEASE = "https://github.com/hkchengrex/CascadePSP/releases/download/v1.0/model"
RELEASED_ON = ("MSRA-10K", "DUTS-TR", "DUTS-TE", "ECSSD", "FSS-1000")
"""What the released weights were trained on (specs/cascadepsp.md, section 5)."""

REFINER = "cascadepsp"
METADATA = {"refiner": REFINER}
"""What a weights file of a training here says of itself."""

STRIDE = 8
"""Sides of the network's input are multiples of this."""


def build(seed: int) -> nn.Module:
    """The package's network of 67,683,433 parameters, with initial weights that follow from the seed alone.

    Called with an image ``Bx3xHxW`` (see `normalised`), a mask ``Bx1xHxW`` of -1 and 1 and, to leave passes out, what
    the passes before would have said at 1/8 and 1/4 (``Bx1xHxW`` in [-1, 1]), it returns maps ``Bx1xHxW`` by name.
    """
    from segmentation_refinement.models.psp.pspnet import RefinementModule

    with seeded(seed):
        network: nn.Module = RefinementModule()
    return network


def normalised(pixels: Tensor) -> Tensor:
    """RGB of 0..255, ``...x3xHxW`` -> float32, to the last bit what torchvision's transforms make of it."""
    mean, std = (torch.tensor(values, device=pixels.device).view(3, 1, 1) for values in (IMAGENET.mean, IMAGENET.std))
    return (pixels.float() / 255 - mean) / std


def signed(mask: Tensor) -> Tensor:
    """Bool -> float32, -1 for background and 1 for foreground."""
    return mask.float() * 2 - 1


def trained_on(weights: Path) -> tuple[str, ...]:
    """The public image sets that a weights file was trained on: the release's, or none for a training here.

    Raises:
        UserError: the file is missing, or neither the release (by its checksum) nor written by a training here.
    """
    if not weights.is_file():
        raise UserError("CascadePSP's weights are not here", weights, f"download {RELEASE}, name it with weights=FILE")
    if weights.suffix == ".safetensors":
        if read_metadata(weights).get("refiner") != REFINER:
            fix = "name the file that 'bench train refiner cascadepsp' wrote"
            raise UserError("weights of another network than CascadePSP", weights, fix)
        return ()
    with weights.open("rb") as stream:
        found = hashlib.file_digest(stream, "md5").hexdigest()
    if found != MD5:
        raise UserError(f"not CascadePSP's released weights (md5 {found})", weights, f"download {RELEASE} again")
    return RELEASED_ON


def loaded(weights: Path) -> nn.Module:
    """The network with a file's weights, in eval mode. Raises UserError where they are damaged or do not fit."""
    network = build(0)
    load_state(network, weights)
    return network.eval()


def pretrain(network: nn.Module, weights: EncoderWeights) -> None:
    """Fill the encoder with torchvision's ResNet-50; the three channels of masks begin at zero.

    Args:
        network: what `build` made.
        weights: ``imagenet``, ``none`` or a file, see `bench.training.encoders.imagenet_state`.

    Raises:
        UserError: they cannot be had, or do not fit.
    """
    state = imagenet_state("resnet50", weights)
    if state is None:
        return
    stem = state.get("conv1.weight")
    if stem is not None:
        state = {**state, "conv1.weight": F.pad(stem, (0, 0, 0, 0, 0, 3))}
    fit_state(network.get_submodule("feats"), state, f"encoder_weights={weights}", surplus=True)
