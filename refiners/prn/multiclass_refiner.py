"""PatchRefineNet for m classes (the paper's section 3.4, left to future work there): one map a class in and out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.contracts import UserError
from bench.images import resize, to_uint16
from bench.refiners.prn.loss import EPSILON
from bench.refiners.prn.multiclass import patch_optimal_multiclass
from bench.refiners.prn.multiclass_loss import multiclass_loss
from bench.refiners.prn.network import PrnNetwork
from bench.refiners.prn.refiner import BATCH, LR_END, PATIENCE, checked_floor, probabilities, settle_batch_norm
from bench.training import Batch, Recipe, TrainingArrays, load_finished, seeded, train
from bench.training.inference import whole_float32
from bench.training.tensors import tensor_of

RESTARTS = 2
"""Of the search for pseudo-labels. On 20 real maps of three classes in patches of 8 pixels (`test_multiclass_kvasir`)
none, 2 and 24 end at the same mean IoU, 95.80; 24 take nine times as long as 2."""


class MulticlassPrn:
    """Learns from labelled maps of m classes to label each patch as the ground truth would have it.

    Pseudo-labels are those of `patch_optimal_multiclass`. The defaults are the paper's for one class.

    Args:
        classes: m, at least 2.
        size: side of the square that maps are resized to, a multiple of 8.
        patch: side of a patch, divides ``size``.
        width: channels of the network's first level, even.
        epochs: at most; training ends after 10 epochs without a lower loss.
        alpha: weight of the pseudo-labels' terms of the loss against the ground truth's.
        gamma: of the focal term.
        floor: of the boundary term, as the refiner ``prn``'s.
        lr: of the first step, falls to 5e-8.
        device: ``"cpu"`` or ``"cuda"``.
        seed: of the initial weights, the samples' order and their augmentation.

    Raises:
        UserError: classes, size, patch and width do not fit together, or the floor is none.
    """

    def __init__(
        self,
        classes: int,
        size: int = 512,
        patch: int = 64,
        width: int = 32,
        epochs: int = 300,
        *,
        alpha: float = 0.7,
        gamma: float = 2.0,
        floor: float = EPSILON,
        lr: float = 8e-4,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        if classes < 2:
            raise UserError(
                f"{classes} class", f"MulticlassPrn(classes={classes})", "use 2 or more, or the refiner prn"
            )
        self.classes, self.size, self.patch, self.epochs = classes, size, patch, epochs
        self.alpha, self.gamma, self.floor, self.lr = alpha, gamma, checked_floor(floor), lr
        self.device, self.seed = device, seed
        with seeded(seed):
            self.network = PrnNetwork(size, patch, width, classes=classes)
        # The fastest layout for convolutions on a CPU.
        self.network.to(memory_format=torch.channels_last).eval()

    def fit(self, probs: Sequence[NDArray[np.float32]], labels: Sequence[NDArray[np.integer]], workdir: Path) -> None:
        """Train, or load what an earlier, finished call left in ``workdir``; an unfinished one is resumed.

        Args:
            probs: maps ``(m, H, W)`` in [0, 1], each of any size.
            labels: their ground truths ``(H, W)`` in 0..m-1.
            workdir: this training's own folder.

        Raises:
            UserError: there are no maps, or more or fewer than labels.
            ValueError: a map or labels of a wrong shape or range.
        """
        if len(probs) != len(labels):
            fix = "give one array of labels a map"
            raise UserError(f"{len(probs)} maps and {len(labels)} labels", "MulticlassPrn.fit", fix)
        if not load_finished(self.network, workdir):
            data = self._arrays(probs, labels, workdir / "arrays")
            train(
                self.network,
                self._loss,
                data,
                Recipe(epochs=self.epochs, batch=BATCH, lr=self.lr, lr_end=LR_END, patience=PATIENCE, precision="auto"),
                workdir=workdir,
                device=self.device,
                seed=self.seed,
                title=f"prn[classes={self.classes},size={self.size}]",
                finish=lambda network: settle_batch_norm(network, data, self.device),
            )
        self.network.to(self.device).eval()

    def refine(self, probs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The mean of both branches' probabilities, ``(m, H, W)`` at the map's own size; a pixel's add up to 1."""
        self._check(probs)
        small = tensor_of(_resized(probs, self.size)).to(self.device)
        with torch.inference_mode(), whole_float32():
            branches = self.network(small[None])
            mean = torch.stack([logits.softmax(dim=1) for logits in branches]).mean(dim=0)[0]
        refined = np.stack([resize(channel, *probs.shape[1:]) for channel in mean.cpu().numpy()])
        return refined / refined.sum(axis=0)

    def _check(self, probs: np.ndarray) -> None:
        if probs.ndim != 3 or len(probs) != self.classes:
            raise ValueError(f"need maps ({self.classes}, H, W), have {probs.shape}")

    def _arrays(
        self, probs: Sequence[NDArray[np.float32]], labels: Sequence[NDArray[np.integer]], folder: Path
    ) -> TrainingArrays:
        side = self.size
        every_class = np.arange(self.classes)[:, None, None]

        def fill(index: int) -> dict[str, np.ndarray]:
            maps, real = probs[index], labels[index]
            self._check(maps)
            if real.shape != maps.shape[1:] or real.min() < 0 or real.max() >= self.classes:
                raise ValueError(f"need labels {maps.shape[1:]} in 0..{self.classes - 1} for map {index}")
            small = _resized(maps, side)
            # Each class by its coverage of a pixel, as masks are resized.
            truth = _resized((real == every_class).astype(np.float32), side).argmax(axis=0)
            pseudo = patch_optimal_multiclass(small, truth, self.patch, restarts=RESTARTS).labels
            return {"codes": to_uint16(small), "truth": truth, "pseudo": pseudo}

        fields = {
            "codes": ((self.classes, side, side), np.uint16),
            "truth": ((side, side), np.int16),
            "pseudo": ((side, side), np.int16),
        }
        return TrainingArrays.build(folder, len(probs), fields, fill, f"pseudo-labels at {side} px")

    def _loss(self, network: nn.Module, batch: Batch) -> Tensor:
        branches = [logits.float() for logits in network(probabilities(batch))]
        pseudo, truth = batch["pseudo"].long(), batch["truth"].long()
        return multiclass_loss(branches, pseudo, truth, self.alpha, self.gamma, self.floor)


def _resized(maps: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """``(m, H, W)`` in [0, 1] -> float32 ``(m, side, side)``."""
    return np.clip(np.stack([resize(channel, side, side) for channel in maps]), 0, 1).astype(np.float32)
