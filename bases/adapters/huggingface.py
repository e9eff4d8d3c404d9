"""Semantic segmentation models of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from bench.bases.adapters.adapter import Adapter
from bench.bases.adapters.logits import logits_to_map
from bench.contracts import Image, ProbabilityMap, Sample, UserError
from bench.images import IMAGENET_MEAN, IMAGENET_STD
from bench.network_files.inputs import ImageForm, Triple
from bench.network_files.program import at_least
from bench.training.hub import ModelId, hub
from bench.training.inference import whole_float32
from bench.training.tensors import tensor_of

Label = int | str


class HuggingFace(Adapter):
    """A semantic segmentation model of transformers, from a local folder or the Hugging Face hub.

    Any model that `AutoModelForSemanticSegmentation` loads (SegFormer, UperNet, BEiT, DPT, MobileViT, ...), of several
    classes or of one logit. Its logits are resized bilinearly to the image, then made probabilities. The image goes
    through the model's own processor where it has one, but for its crops and padding, which would shift the map.
    Code that comes with a model is never run (``trust_remote_code`` is off).

    Args:
        id: a folder (``save_pretrained``'s: config.json, model.safetensors, preprocessor_config.json), or a name on the
            hub, such as ``nvidia/segformer-b0-finetuned-ade-512-512``.
        revision: of a name on the hub: a branch, tag or commit. Only a commit stays what it is.
        size: side of the square that images are resized to; 0 leaves that to the model's processor, and without one
            the image keeps its size.
        mean, std: per channel of RGB in [0, 1]; unsaid, those of the processor, or else ImageNet's. They count where
            ``size`` is given or there is no processor.
        foreground: the class that is foreground, by number or by its label in config.json, or a list of these whose
            probabilities are summed; by default the only one, or the second of two.
        activation: how logits of several classes become probabilities; one logit gets a sigmoid.

    Raises:
        UserError: at the first `predict`: the model cannot be had, is of another kind, lacks weights, or has no such
            class.
    """

    requires = ("transformers",)
    extra = "huggingface"

    def __init__(
        self,
        *,
        id: ModelId,
        revision: str = "main",
        size: int = 0,
        mean: Triple | None = None,
        std: Triple | None = None,
        foreground: Label | tuple[Label, ...] | None = None,
        activation: Literal["sigmoid", "softmax"] = "softmax",
        device: str = "cpu",
    ) -> None:
        at_least(0, size=size)
        self.id, self.revision, self.size, self.mean, self.std = str(id), revision, size, mean, std
        self.foreground, self.activation, self.device = foreground, activation, device

    def predict(self, samples: Sequence[Sample]) -> list[ProbabilityMap]:
        """See `bench.contracts.BaseNetwork`."""
        return [self._predict(sample.image) for sample in samples]

    def _predict(self, image: Image) -> ProbabilityMap:
        pixels = self._pixels(image)
        try:
            with torch.inference_mode(), whole_float32():
                logits = self._model(pixel_values=pixels.to(self.device)).logits
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[-160:]
            said = f"the model does not run on {tuple(pixels.shape)}, {reason}"
            raise UserError(said, self.id, "correct size= to what it takes") from None
        return logits_to_map(
            logits, image.shape[:2], foreground=self._classes, activation=self.activation, where=self.id
        )

    def _pixels(self, image: Image) -> Tensor:
        """``1x3xhxw`` on the CPU."""
        processor = self._processor
        if processor and not self.size:
            as_is = {name: False for name in ("do_center_crop", "do_pad") if getattr(processor, name, None)}
            given = processor(images=image, return_tensors="pt", input_data_format="channels_last", **as_is)
            return given["pixel_values"]
        mean = self.mean or getattr(processor, "image_mean", None) or IMAGENET_MEAN
        std = self.std or getattr(processor, "image_std", None) or IMAGENET_STD
        height, width = (self.size, self.size) if self.size else image.shape[:2]
        pixels = ImageForm(mean=mean, std=std).planes(image, height, width)
        return tensor_of(pixels.transpose(2, 0, 1)[None])

    @cached_property
    def _classes(self) -> int | tuple[int, ...] | None:
        """``foreground`` in numbers."""
        if self.foreground is None:
            return None
        numbers = {str(label): int(number) for number, label in self._model.config.id2label.items()}
        wanted = self.foreground if isinstance(self.foreground, (tuple, list)) else [self.foreground]
        for label in wanted:
            if str(label) not in numbers and not str(label).isdecimal():
                some = ", ".join(list(numbers)[:8])
                raise UserError(f"no class {label!r}, the model's are {some}", self.id, "correct foreground=")
        return tuple(numbers[label] if label in numbers else int(label) for label in wanted)

    @cached_property
    def _processor(self) -> Any:
        from transformers import AutoImageProcessor

        try:
            with hub(self.id):
                return AutoImageProcessor.from_pretrained(self.id, revision=self.revision, trust_remote_code=False)
        except (OSError, ValueError):
            # The model comes without one.
            return None

    @cached_property
    def _model(self) -> Any:
        from transformers import AutoModelForSemanticSegmentation

        try:
            with hub(self.id):
                model, loaded = AutoModelForSemanticSegmentation.from_pretrained(
                    self.id,
                    revision=self.revision,
                    trust_remote_code=False,
                    dtype=torch.float32,
                    output_loading_info=True,
                )
        except OSError as error:
            if Path(self.id).is_dir():
                reason = " ".join(str(error).split())[:120]
                raise UserError(
                    f"no model of transformers, {reason}", self.id, "name a folder of save_pretrained"
                ) from None
            fix = "bring its folder, id=FOLDER with config.json, model.safetensors and preprocessor_config.json"
            raise UserError("no such model in the cache, and it cannot be downloaded", self.id, fix) from None
        except Exception as error:
            # Of another kind, in need of code of its own, damaged: each from another library.
            reason = " ".join(str(error).split())[:120]
            fix = "name a model that AutoModelForSemanticSegmentation loads"
            raise UserError(f"no segmentation model, {reason}", self.id, fix) from None
        absent = sorted([*loaded["missing_keys"], *(key for key, *_ in loaded["mismatched_keys"])])
        if absent:
            # transformers would fill them with random numbers: an encoder alone is no segmentation model.
            said = f"it has no weights for {', '.join(absent[:3])}"
            raise UserError(said, self.id, "name a model that was fine-tuned for segmentation")
        return model.eval().to(self.device)
