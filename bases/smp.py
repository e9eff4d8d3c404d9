"""What the bases built with segmentation-models-pytorch share: weights, recipe, training, prediction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts import DECISION, Dataset, Image, ProbabilityMap, Sample, UserError
from bench.images import resize, resize_mask
from bench.training import Batch, Recipe, TrainingArrays, fast_precision, ious, load_finished, seeded, train
from bench.training.encoders import EncoderWeights, load_encoder, load_state, no_such_encoder, normalised


class SmpBase(ABC):
    """A network of segmentation-models-pytorch, trained on the train split unless ``weights`` are given.

    Images are resized to ``size`` x ``size``, normalised as the encoder's ImageNet weights want it, and the map is
    resized back. Recipe: the sum of binary cross-entropy and soft Dice, Adam with a cosine decay to zero, flips and
    quarter turns; the best epoch by mean IoU on val is kept (D-LinkNet's loss and
    rates: the paper names none for these bases).

    Args:
        encoder: name of an smp encoder, or ``tu-NAME`` of a timm one; None is the class's `default_encoder`.
        encoder_weights: ``imagenet`` (downloaded by smp), ``none``, or a safetensors/pth file with the keys of the
            smp encoder.
        weights: safetensors/pth file with the whole network's state; then nothing is trained.
        size: side of the square input in pixels, a multiple of 32.
        epochs, batch, lr: of the training.
        patience: epochs without a better val IoU before the training ends.

    Raises:
        UserError: the size is no multiple of 32, or (at the first `fit` or `predict`) weights do not fit.
    """

    default_encoder: ClassVar[str]
    requires = ("segmentation_models_pytorch",)
    extra = ""
    version = 1

    def __init__(
        self,
        *,
        encoder: str | None = None,
        encoder_weights: EncoderWeights = "imagenet",
        weights: Path | None = None,
        size: int = 512,
        epochs: int = 15,
        batch: int = 8,
        lr: float = 2e-4,
        patience: int = 5,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        if size < 32 or size % 32:
            raise UserError(f"size {size} is no multiple of 32", f"size={size}", f"use size={max(32, size // 32 * 32)}")
        self.encoder = encoder or self.default_encoder
        self.encoder_weights, self.weights, self.size = encoder_weights, weights, size
        self.recipe = Recipe(epochs=epochs, batch=batch, lr=lr, patience=patience, precision=fast_precision(device))
        self.device, self.seed = device, seed
        self.trainable = weights is None
        self._network: nn.Module | None = None

    @abstractmethod
    def network(self, encoder: str) -> Any:
        """The smp model, one class, logits at the input's size, its encoder without weights."""

    def fit(self, train: Dataset, val: Dataset, workdir: Path) -> None:
        """See `bench.contracts.BaseNetwork`. Writes ``training.csv`` with a row an epoch to ``workdir``."""
        network = self._build(pretrained=not (workdir / "weights.safetensors").is_file())
        if not load_finished(network, workdir):
            self._train(network, train, val, workdir)
        self._network = network.to(self.device)

    def predict(self, samples: Sequence[Sample]) -> list[ProbabilityMap]:
        """See `bench.contracts.BaseNetwork`."""
        if self._network is None:
            if self.weights is None:
                raise RuntimeError("fit() comes before predict() where no weights are given")
            self._network = self._build(pretrained=False)
            load_state(self._network, self.weights)
            self._network.to(self.device).eval()
        maps = []
        for sample in samples:
            pixels = torch.from_numpy(self._pixels(sample.image))[None].to(self.device)
            with torch.inference_mode():
                probs = self._network(self._normalise(pixels)).sigmoid()[0, 0].float().cpu().numpy()
            maps.append(np.clip(resize(probs, *sample.image.shape[:2]), 0, 1))
        return maps

    def _train(self, network: nn.Module, train_split: Dataset, val: Dataset, workdir: Path) -> None:
        data = self._arrays(train_split, workdir / "train")
        # Without val (protocol B) every epoch is trained, and the one of the lowest training loss kept.
        held_out = self._arrays(val, workdir / "val") if len(val) else None
        recipe = self.recipe if held_out else replace(self.recipe, patience=None)

        def loss(network: nn.Module, batch: Batch) -> Tensor:
            return bce_dice(network(self._normalise(batch["image"])).float(), batch["mask"].float())

        def validate(network: nn.Module) -> float:
            assert held_out is not None
            return float(np.concatenate([self._ious(network, batch) for batch in held_out.batches(8)]).mean())

        train(
            network,
            loss,
            data,
            recipe,
            workdir=workdir,
            device=self.device,
            seed=self.seed,
            title=f"train {type(self).__name__} ({self.encoder}, {self.size} px)",
            validate=validate if held_out else None,
        )
        if held_out:
            held_out.remove()

    def _arrays(self, split: Dataset, folder: Path) -> TrainingArrays:
        side = self.size
        fields: dict[str, Any] = {"image": ((3, side, side), np.uint8), "mask": ((1, side, side), np.bool_)}

        def fill(index: int) -> dict[str, np.ndarray]:
            sample = split[index]
            return {"image": self._pixels(sample.image), "mask": resize_mask(sample.mask, side, side)[None]}

        return TrainingArrays.build(folder, len(split), fields, fill, f"{split.split} images at {side} px")

    def _ious(self, network: nn.Module, batch: Batch) -> np.ndarray:
        """Foreground IoU of each sample of a batch at the network's size; both empty is 1."""
        probs = network(self._normalise(batch["image"].to(self.device))).sigmoid()
        return ious(probs >= DECISION, batch["mask"].to(self.device)).cpu().numpy()

    def _pixels(self, image: Image) -> np.ndarray:
        return np.ascontiguousarray(resize(image, self.size, self.size).transpose(2, 0, 1))

    def _normalise(self, pixels: Tensor) -> Tensor:
        return normalised(pixels, self.encoder)

    def _build(self, *, pretrained: bool) -> Any:
        with seeded(self.seed):
            try:
                network = self.network(self.encoder)
            except (KeyError, RuntimeError, ValueError) as error:
                raise no_such_encoder(self.encoder, error) from None
        if pretrained:
            load_encoder(network.encoder, self.encoder, self.encoder_weights)
        return network


def bce_dice(logits: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy plus 1 - soft Dice over the batch (D-LinkNet's loss). Both Bx1xHxW; mask 0 or 1."""
    probs = logits.sigmoid()
    dice = (2 * (probs * mask).sum() + 1) / (probs.sum() + mask.sum() + 1)
    return F.binary_cross_entropy_with_logits(logits, mask) + 1 - dice
