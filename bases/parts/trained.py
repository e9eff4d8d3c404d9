"""The base networks that are trained: what the harness asks of them, whichever network it is."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.bases.parts import pairs
from bench.bases.parts.definition import NetworkDefinition
from bench.bases.parts.losses import as_float
from bench.bases.parts.parameters import RESIZED_BY
from bench.bases.parts.predicting import resized_map, tiled_map
from bench.contracts import BaseNetwork, Dataset, ProbabilityMap, Sample, UserError
from bench.training import Augment, Batch, Loss, TrainingArrays, load_finished, load_state, seeded, train
from bench.training.augment import Turn
from bench.training.inference import Model, averaged, whole_float32
from bench.training.optimisers import Groups


@dataclass(kw_only=True)
class TrainedBase(NetworkDefinition, BaseNetwork):
    """A torch network, trained on the train split unless ``weights`` are given.

    An image is brought to ``size`` x ``size`` and normalised, and its map is brought back to the image's size. The best
    epoch by mean IoU on val is kept (under protocol B, without val: by training loss). What a subclass says of its
    network stands in `NetworkDefinition`, what it can be given in `BaseParameters`.

    Raises:
        UserError: parameters do not fit (see `BaseParameters`), or, at the first `fit` or `predict`, weights do not.
    """

    _network: nn.Module | None = field(init=False, default=None, repr=False)

    def fit(self, train: Dataset, val: Dataset, workdir: Path) -> None:
        """See `bench.contracts.BaseNetwork`. Writes ``training.csv`` with a row an epoch to ``workdir``."""
        with seeded(self.seed):
            network = self.network()
        if not load_finished(network, workdir):
            self.check_size()
            self.pretrain(network)
            self.train_stage(network, train, val, workdir, self.batch_loss, self.groups(network))
        self._network = network.to(self.device).eval()

    def check_fit(self) -> None:
        """See `bench.contracts.Checked`."""
        self.check_size()
        self.pretrain(self.network())

    def check_size(self) -> None:
        """Whether the network takes inputs of the sizes asked for. Raises UserError where it does not."""
        for name, side in (("size", self.size), ("crop", self.cropped_to), ("tile", self.tile)):
            if side:
                self._check_side(name, side)

    def _check_side(self, name: str, side: int) -> None:
        sized = (self.size, self.size)
        shapes = [(*x.shape[:-2], side, side) if x.shape[-2:] == sized else x.shape for x in self.example()]
        with torch.no_grad(), suppress(RuntimeError, ValueError), torch.device("meta"):
            self.network().eval()(*map(torch.zeros, shapes))
            return
        # Too small; or it has a step that cannot be tried without computing. The real one knows.
        try:
            with torch.no_grad(), seeded(self.seed):
                self.network().eval()(*map(torch.zeros, shapes))
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:120]
            said = f"the network cannot take {side}x{side} pixels, {reason}"
            where = f"{name}={side} of {type(self).__name__}"
            raise UserError(said, where, f"use a larger {name}, or another network") from None

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
            self.check_size()
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
        if held_out is None:
            changes["patience"] = None

        train(
            network,
            loss,
            data,
            self.recipe(**changes),
            workdir=workdir,
            device=self.device,
            seed=self.seed,
            title=f"train {type(self).__name__} ({self.size} px)",
            validate=(lambda network: self._validation(network, held_out)) if held_out else None,
            augment=self._augment(),
            groups=groups,
            least=2,
            metadata={RESIZED_BY: self.resized_by},
        )
        if held_out:
            held_out.remove()

    def _validation(self, network: nn.Module, held_out: TrainingArrays) -> float:
        """Mean IoU of the held-out samples at the network's size."""
        return pairs.mean_iou(self.model(network), held_out, self.batch, self.device)

    def _transform(self) -> Any | None:
        return {"recipe": self.augmentation(), "turns": Turn(), "none": None}[self.augment]

    def _augment(self) -> Augment:
        return pairs.changed(self._transform(), self.cropped_to)

    def _arrays(self, split: Dataset, folder: Path) -> TrainingArrays:
        return pairs.stored(split, folder, self.size, self.resize, self.resized_by)

    def _predict(self, model: Model, sample: Sample) -> ProbabilityMap:
        if self.tile:
            return tiled_map(model, sample.image, self.tile, self.overlap, self.device)
        return resized_map(model, sample.image, self.size, self.resize, self.resized_by, self.device)
