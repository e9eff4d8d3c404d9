"""Segmentation networks of torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights, list_models, segmentation

from bench.bases.adapters.adapter import Adapter
from bench.bases.adapters.logits import logits_to_map
from bench.contracts import Image, ProbabilityMap, Sample, UserError
from bench.images import IMAGENET_MEAN, IMAGENET_STD
from bench.network_files.inputs import ImageForm, Triple
from bench.network_files.outputs import Foreground
from bench.network_files.program import at_least
from bench.training.checkpoints import load_state
from bench.training.hub import downloadable
from bench.training.inference import whole_float32
from bench.training.tensors import tensor_of

AUXILIARY = "aux_classifier."


class TorchVision(Adapter):
    """A segmentation network of torchvision (FCN, DeepLabV3, LR-ASPP) with weights that exist.

    Its logits are resized bilinearly to the image, then made probabilities. The auxiliary head, which only trains, is
    left out, and so are its weights in a file.

    Args:
        weights: safetensors or torch file of the whole network's state, in which no code is run; or ``pretrained``:
            torchvision's own for the 21 classes of Pascal VOC, downloaded.
        model: torchvision's name, e.g. ``fcn_resnet50``, ``deeplabv3_resnet101`` or ``lraspp_mobilenet_v3_large``.
        classes: number of classes the network tells apart, background included.
        foreground: the class that is foreground, or a list of them whose probabilities are summed; by default the only
            one, or the second of two. Of Pascal VOC's: 8 is cat, 12 dog, 15 person.
        size: side of the square that images are resized to; 0 keeps the image's own size.
        mean, std: per channel of RGB in [0, 1]; ImageNet's by default.
        activation: how logits of several classes become probabilities; one logit gets a sigmoid.

    Raises:
        UserError: there is no such network; or, at the first `predict`, weights cannot be had or do not fit.
    """

    requires = ("torchvision",)

    def __init__(
        self,
        *,
        weights: Path | Literal["pretrained"],
        model: str = "deeplabv3_resnet50",
        classes: int = 21,
        foreground: Foreground = None,
        size: int = 0,
        mean: Triple = IMAGENET_MEAN,
        std: Triple = IMAGENET_STD,
        activation: Literal["sigmoid", "softmax"] = "softmax",
        device: str = "cpu",
    ) -> None:
        at_least(1, classes=classes)
        at_least(0, size=size)
        known = list_models(module=segmentation)
        if model not in known:
            raise UserError(f"torchvision has no segmentation network {model!r}", "model=", f"use {', '.join(known)}")
        self.weights, self.model, self.classes, self.foreground = weights, model, classes, foreground
        self.size, self.mean, self.std = size, mean, std
        self.activation, self.device = activation, device

    def predict(self, samples: Sequence[Sample]) -> list[ProbabilityMap]:
        """See `bench.contracts.BaseNetwork`."""
        return [self._predict(sample.image) for sample in samples]

    def _predict(self, image: Image) -> ProbabilityMap:
        height, width = (self.size, self.size) if self.size else image.shape[:2]
        pixels = ImageForm(mean=self.mean, std=self.std).planes(image, height, width)
        tensor = tensor_of(pixels.transpose(2, 0, 1)[None])
        with torch.inference_mode(), whole_float32():
            logits = self._network(tensor.to(self.device))["out"]
        return logits_to_map(
            logits, image.shape[:2], foreground=self.foreground, activation=self.activation, where=self.model
        )

    @cached_property
    def _network(self) -> nn.Module:
        path = self._download() if self.weights == "pretrained" else Path(self.weights)
        network: nn.Module = get_model(self.model, weights=None, weights_backbone=None, num_classes=self.classes)
        fix = f"name a file made for {self.model} with classes={self.classes}, or correct these"
        load_state(network, path, adapt=_without_auxiliary, fix=fix)
        return network.eval().to(self.device)

    def _download(self) -> Path:
        url = get_model_weights(self.model)["DEFAULT"].url
        path = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
        try:
            downloadable(url, path)
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                torch.hub.download_url_to_file(url, str(path), url.rpartition("-")[2].partition(".")[0], progress=False)
        except (OSError, RuntimeError) as error:
            said = f"no weights to be had for {self.model} ({type(error).__name__})"
            raise UserError(said, "weights=pretrained", f"bring {url} and give weights=FILE") from None
        return path


def _without_auxiliary(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.startswith(AUXILIARY)}
