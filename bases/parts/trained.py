"""What the base networks share: parameters, training, checkpoints, test-time views, tiles."""

from __future__ import annotations

import dataclasses
import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bases.parts.framing import Framing, framed, framed_mask, unframed
from bench.contracts import DECISION, Dataset, Description, ProbabilityMap, Sample, UserError
from bench.training import (
    Augment,
    Batch,
    Loss,
    Preprocessing,
    Recipe,
    TrainingArrays,
    ious,
    load_finished,
    load_state,
    seeded,
    train,
)
from bench.training.augment import Turn, cropped, jointly
from bench.training.encoders import EncoderWeights
from bench.training.inference import TestTime, averaged, in_batches, tiled, whole_float32
from bench.training.optimisers import Groups
from bench.training.preprocessing import IMAGENET
from bench.training.profile import multiply_adds, parameters
from bench.training.recipe import Precision


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a network comes from.

    Attributes:
        paper: authors, venue and year.
        code: repository of the authors', or of the library that computes it; "" where there is none.
        licence: of that code; ours is written from its description.
    """

    paper: str
    code: str = ""
    licence: str = "no code published"


@dataclass(kw_only=True)
class TrainedBase(Recipe, ABC):
    """A torch network, trained on the train split unless ``weights`` are given.

    An image is brought to ``size`` x ``size`` and normalised, and its map is brought back to the image's size. The best
    epoch by mean IoU on val is kept (under protocol B, without val: by training loss). A subclass names its network,
    loss and normalisation, and overrides the recipe's defaults: every field here and of `bench.training.Recipe` is
    a parameter of the base.

    Args:
        weights: safetensors or torch file with the whole network's state, of the authors or of a training here; then
            nothing is trained. No code in it is run.
        encoder_weights: ``imagenet`` (downloaded), ``none``, or a file of the encoder's own keys.
        size: side of the square input in pixels.
        crop: side of the random crops of it that are trained on; 0, or ``size`` and more, takes it whole.
        resize: how an image becomes square: ``stretch``, or ``pad`` with zeros around it.
        augment: ``recipe``: what the network's authors did (see `augmentation`); ``turns``: the eight flips and quarter
            turns; ``none``.
        tta: views averaged at test time: ``none``, ``flips`` (4), ``turns`` (8).
        scales: factors of the input's side averaged at test time.
        tile: at test time cut the image at its native resolution into windows of this side; 0 resizes it whole.
        overlap: least overlap of neighbouring windows, in pixels.

    Raises:
        UserError: a size does not fit the network, or (at the first `fit` or `predict`) weights do not fit.
    """

    origin: ClassVar[Origin]
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str] = ""
    version: ClassVar[int] = 1
    multiple: ClassVar[int] = 32
    """The input's side is a multiple of this."""

    precision: Precision = "auto"
    weights: Path | None = None
    encoder_weights: EncoderWeights = "imagenet"
    size: int = 512
    crop: int = 0
    resize: Framing = "stretch"
    augment: Literal["recipe", "turns", "none"] = "recipe"
    tta: TestTime = "none"
    scales: tuple[float, ...] = (1.0,)
    tile: int = 0
    overlap: int = 32
    device: str = "cpu"
    seed: int = 0
    trainable: bool = field(init=False)
    _network: nn.Module | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("size", "crop", "tile"):
            side = getattr(self, name)
            if side % self.multiple or (name == "size" and side < self.multiple) or side < 0:
                fit = max(self.multiple, side // self.multiple * self.multiple)
                raise UserError(
                    f"{name} {side} is no multiple of {self.multiple}", f"{name}={side}", f"use {name}={fit}"
                )
        if not 0 <= self.overlap < (self.tile or self.overlap + 1):
            raise UserError(
                f"overlap {self.overlap} leaves no room in a tile of {self.tile}", f"overlap={self.overlap}", "lower it"
            )
        if not self.scales or min(self.scales) <= 0:
            raise UserError("scales must be positive", f"scales={list(self.scales)}", "write e.g. scales=[0.75,1,1.25]")
        self.trainable = self.weights is None

    # What a network says of itself.

    @abstractmethod
    def network(self) -> nn.Module:
        """The untrained network.

        In eval mode it maps normalised pixels ``Bx3xSxS`` to foreground logits ``Bx1xSxS``; in train mode to whatever
        `loss` takes, of which the logits come first.
        """

    @property
    def preprocessing(self) -> Preprocessing:
        """Normalisation of the pixels; ImageNet's unless a network says otherwise."""
        return IMAGENET

    def pretrain(self, network: nn.Module) -> None:
        """Put ImageNet weights into the encoder, as ``encoder_weights`` says. Nothing where there is no encoder."""

    def loss(self, outputs: Any, mask: Tensor) -> Tensor:
        """Binary cross-entropy plus 1 - soft Dice over the batch.

        Args:
            outputs: of the network in train mode, float32.
            mask: ``Bx1xSxS`` of 0 and 1.
        """
        return bce_dice(outputs, mask)

    def groups(self, network: nn.Module) -> Groups | None:
        """The parameters to train, in torch's groups; None for all of them at the recipe's rate."""
        return None

    def augmentation(self) -> Any | None:
        """The authors' augmentation, a torchvision v2 transform of ``image`` and ``mask``; None for none."""
        return Turn()

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Names of a published checkpoint -> names of this network."""
        return state

    def example(self) -> tuple[Tensor, ...]:
        """Inputs of the network for one image, of any values."""
        return (torch.zeros(1, 3, self.size, self.size),)

    def describe(self) -> Description:
        """What ``bench list bases --verbose`` prints; nothing is downloaded or computed."""
        with torch.device("meta"):
            network, inputs = self.network(), self.example()
        return Description(
            parameters=parameters(network),
            multiply_adds=multiply_adds(network, *inputs),
            input=self._input_text(f"{self.size} x {self.size} px"),
            recipe=self._recipe_text(),
            licence=f"{self.origin.paper}; {self.origin.code or 'no code'}: {self.origin.licence}",
        )

    # What the harness calls.

    def fit(self, train: Dataset, val: Dataset, workdir: Path) -> None:
        """See `bench.contracts.BaseNetwork`. Writes ``training.csv`` with a row an epoch to ``workdir``."""
        with seeded(self.seed):
            network = self.network()
        if not load_finished(network, workdir):
            self.pretrain(network)
            self.train_stage(network, train, val, workdir, self.batch_loss, self.groups(network))
        self._network = network.to(self.device).eval()

    def predict(self, samples: Sequence[Sample]) -> list[ProbabilityMap]:
        """See `bench.contracts.BaseNetwork`."""
        with torch.inference_mode(), whole_float32():
            model = averaged(self.model(self.ready()), self.tta, self.scales, self.multiple)
            return [self._predict(model, sample) for sample in samples]

    # Parts that a base with more than one training, or of more than an image, puts together anew.

    def ready(self) -> nn.Module:
        """The network with its weights: trained by `fit`, or of the file ``weights``."""
        if self._network is None:
            if self.weights is None:
                raise RuntimeError("fit() comes before predict() where no weights are given")
            with seeded(self.seed):
                network = self.network()
            self.load(network)
            self._network = network.to(self.device).eval()
        return self._network

    def load(self, network: nn.Module) -> None:
        """Load the file ``weights``."""
        assert self.weights is not None
        load_state(network, self.weights, adapt=self.adapt)

    def model(self, network: nn.Module) -> Any:
        """Pixels ``Bx3xSxS`` of 0..255 -> probabilities ``Bx1xSxS``."""
        return lambda pixels: network(self.preprocessing(pixels)).float().sigmoid()

    def batch_loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """The loss of a batch with the fields ``image`` (uint8 ``Bx3xSxS``) and ``mask`` (bool ``Bx1xSxS``)."""
        return self.loss(as_float(network(self.preprocessing(batch["image"]))), batch["mask"].float())

    def train_stage(
        self,
        network: nn.Module,
        train_split: Dataset,
        val: Dataset,
        workdir: Path,
        loss: Loss,
        groups: Groups | None,
        **changes: Any,
    ) -> None:
        """Train ``network`` in place by the recipe, in a folder of its own; load or resume what is there.

        Args:
            changes: of the recipe, for this training alone.
        """
        data = self._arrays(train_split, workdir / "train")
        # Without val (protocol B) every epoch is trained, and the one of the lowest training loss kept.
        held_out = self._arrays(val, workdir / "val") if len(val) else None
        recipe = Recipe(**{f.name: getattr(self, f.name) for f in dataclasses.fields(Recipe)})
        if held_out is None:
            changes["patience"] = None
        recipe = dataclasses.replace(recipe, **changes)

        train(
            network,
            loss,
            data,
            recipe,
            workdir=workdir,
            device=self.device,
            seed=self.seed,
            title=f"train {type(self).__name__} ({self.size} px)",
            validate=(lambda network: self._validation(network, held_out)) if held_out else None,
            augment=self._augment(),
            groups=groups,
            least=2,
        )
        if held_out:
            held_out.remove()

    def _validation(self, network: nn.Module, held_out: TrainingArrays) -> float:
        """Mean IoU of the held-out samples at the network's size."""
        model = self.model(network)
        found = [
            ious(
                in_batches(model, batch["image"].to(self.device), self.batch) >= DECISION,
                batch["mask"].to(self.device),
            ).cpu()
            for batch in held_out.batches(self.batch)
        ]
        return float(torch.cat(found).mean())

    def _augment(self) -> Augment:
        transform = {"recipe": self.augmentation(), "turns": Turn(), "none": None}[self.augment]
        crop = self.crop if self.crop < self.size else 0
        if isinstance(transform, Turn) and not crop:
            return "turns"
        whole = cropped(transform, crop)
        return jointly(whole) if whole is not None else "none"

    def _arrays(self, split: Dataset, folder: Path) -> TrainingArrays:
        side = self.size
        fields: dict[str, Any] = {"image": ((3, side, side), np.uint8), "mask": ((1, side, side), np.bool_)}

        def fill(index: int) -> dict[str, np.ndarray]:
            sample = split[index]
            image, mask = framed(sample.image, side, self.resize), framed_mask(sample.mask, side, self.resize)
            return {"image": image.transpose(2, 0, 1), "mask": mask[None]}

        return TrainingArrays.build(folder, len(split), fields, fill, f"{split.split} images at {side} px")

    def _predict(self, model: Any, sample: Sample) -> ProbabilityMap:
        if self.tile:
            probs = tiled(model, self._tensor(sample.image), self.tile, self.overlap)[0, 0].cpu().numpy()
            return np.clip(probs, 0, 1)
        pixels = self._tensor(framed(sample.image, self.size, self.resize))
        probs = in_batches(model, pixels)[0, 0].cpu().numpy()
        return unframed(probs, sample.image.shape[:2], self.resize)

    def _tensor(self, image: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].to(self.device)

    def _input_text(self, sides: str) -> str:
        prep = self.preprocessing
        scaling = "ImageNet mean/std" if prep == IMAGENET else f"mean {_short(prep.mean)}, std {_short(prep.std)}"
        return f"{sides} {'BGR' if prep.bgr else 'RGB'}, {scaling}"

    def _recipe_text(self) -> str:
        loss = (inspect.getdoc(self.loss) or "").partition("\n")[0].rstrip(".")
        rate = f"{self.optimizer} {self.lr:g}, {self.schedule}"
        crop = f", crops of {self.crop} px" if 0 < self.crop < self.size else ""
        return f"{loss}; {rate}; {self.epochs} epochs of batch {self.batch * self.accumulate}{crop}"


def bce_dice(logits: Tensor, mask: Tensor, smooth: float = 1.0) -> Tensor:
    """Binary cross-entropy plus 1 - soft Dice over the batch (D-LinkNet's loss). Both ``Bx1xHxW``; mask 0 or 1.

    Args:
        smooth: added to both sides of the Dice ratio, which is 0/0 for an empty batch without it.
    """
    return F.binary_cross_entropy_with_logits(logits, mask) + dice_loss(logits.sigmoid(), mask, smooth)


def dice_loss(probs: Tensor, mask: Tensor, smooth: float = 1.0) -> Tensor:
    """1 - soft Dice over the whole batch. Both ``Bx1xHxW``, probabilities and a mask of 0 and 1."""
    return 1 - (2 * (probs * mask).sum() + smooth) / (probs.sum() + mask.sum() + smooth)


def as_float(outputs: Any) -> Any:
    """Float32 tensors in whatever shape a network gives them out: mixed precision computes in less."""
    if isinstance(outputs, Tensor):
        return outputs.float()
    if isinstance(outputs, dict):
        return {name: as_float(value) for name, value in outputs.items()}
    return type(outputs)(as_float(value) for value in outputs)


def _short(values: Sequence[float]) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else "/".join(f"{value:g}" for value in values)
