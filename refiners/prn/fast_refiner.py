"""prn-fast as a refiner: a correction of the base's logits that starts at zero and sees the image."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts import DECISION, Budget, Image, MapDataset, ProbabilityMap, Refiner, SearchSpace, Span, UserError
from bench.images import resize, resize_mask, to_uint16
from bench.refiners.prn.fast_network import STRIDE, FastNetwork, bounded_logits, corrected
from bench.refiners.prn.refiner import PAPER_SIZE, architecture, probabilities
from bench.training import (
    Batch,
    Recipe,
    TrainingArrays,
    export_onnx,
    ious,
    load_finished,
    load_weights,
    seeded,
    train,
)
from bench.training.encoders import EncoderWeights, load_encoder, no_such_encoder, preprocessing
from bench.training.inference import whole_float32
from bench.training.tensors import tensor_of

BATCH = 8

HELD_OUT = 0.25
"""Share of val that nothing is trained on: it chooses the epoch and the strength of the correction."""

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


class PrnFast(Refiner):
    """PRN's idea at a fraction of its cost: a residual on the base's logits, from the map and the image's features.

    Departures from PatchRefineNet, chosen on val splits (docs/results/prn.md has the trials):
    a correction is *added* to the map's logits and is zero at first, so that nothing has to relearn the map; all
    convolutions run at stride 4 or coarser; and a small ImageNet encoder shows it the image, which is where the
    information beyond one global threshold is. The loss is cross-entropy plus 1 - soft IoU on the ground truth alone:
    pseudo-labels brought nothing here.

    Args:
        size: side of the square that images and maps are resized to, a multiple of 32; None is 512. The correction
            is brought back to the image's own size and added there.
        width: channels at stride 4; None is 32.
        encoder: name of an smp encoder of depth 5, ``tu-NAME`` of a timm one; None is ``mobilenet_v2``.
        encoder_weights: ``imagenet`` (downloaded by smp), ``none``, or a safetensors/pth file with the keys of the
            smp encoder. They stay as they are: only the rest is trained.
        epochs: passes over val.
        lr: Adam's first learning rate, falls to 0.
        weights: what an earlier fit left, ``weights.safetensors``; then nothing is trained, and size, width and
            encoder are the file's.

    Raises:
        UserError: a wrong size or encoder; the file is no finished training of this refiner; or (at `fit`) the
            encoder's weights are not to be had.
    """

    requires = ("segmentation_models_pytorch",)
    search_space: ClassVar[SearchSpace] = {"width": (16, 32, 64), "lr": Span(1e-4, 1e-2, log=True)}
    cost: ClassVar[Budget] = Budget(seconds=4, memory_mb=220)

    def __init__(
        self,
        *,
        size: int | None = None,
        width: int | None = None,
        encoder: str | None = None,
        encoder_weights: EncoderWeights = "imagenet",
        epochs: int = 20,
        lr: float = 1e-3,
        weights: Path | None = None,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        if weights is not None:
            given = {"size": size, "width": width, "encoder": encoder}
            saved = architecture(weights, tuple(given), given)
            size, width, encoder = int(saved["size"]), int(saved["width"]), saved["encoder"]
        self.size = PAPER_SIZE if size is None else size
        self.width = 32 if width is None else width
        self.encoder = encoder or "mobilenet_v2"
        if self.size < STRIDE or self.size % STRIDE:
            raise UserError(f"a size of {size}", f"prn-fast[size={size}]", f"use a multiple of {STRIDE}")
        if self.width < 1:
            raise UserError(f"width is {self.width}", f"prn-fast[width={self.width}]", "give 1 or more")
        self.encoder_weights = encoder_weights
        self.recipe = Recipe(epochs=epochs, batch=BATCH, lr=lr, precision="auto")
        self.device, self.seed = device, seed
        self.trainable = weights is None
        self._network: FastNetwork | None = None
        if weights is not None:
            self._network = self._build()
            load_weights(self._network, weights)
            self._network.to(device).eval()

    def fit(self, val: MapDataset, workdir: Path) -> None:
        """Train on val's images and maps, or load what an earlier, finished call left in ``workdir``."""
        if not self.trainable:
            return
        network = self._build()
        if not load_finished(network, workdir):
            load_encoder(network.encoder, self.encoder, self.encoder_weights)
            self._train(network, val, workdir)
        self._network = network.to(self.device).eval()

    def check_fit(self) -> None:
        """See `bench.contracts.Checked`."""
        load_encoder(self._build().encoder, self.encoder, self.encoder_weights)

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """The maps with the correction added to their logits, at each map's own size."""
        with torch.inference_mode(), whole_float32():
            return [self._refine_one(image, probs) for image, probs in zip(images, maps, strict=True)]

    def export_onnx(self, path: Path) -> None:
        """Write the network at its square size.

        Inputs ``image``, float32 ``Bx3xSxS`` RGB in 0..255, and ``map``, float32 ``Bx1xSxS`` in [0, 1]; output
        ``refined``, ``Bx1xSxS`` in [0, 1].
        """
        generator = torch.Generator().manual_seed(0)
        pixels = 255 * torch.rand(2, 3, self.size, self.size, generator=generator)
        maps = torch.rand(2, 1, self.size, self.size, generator=generator)
        whole = _Whole(copy.deepcopy(self._fitted()), self.encoder).to("cpu").eval()
        export_onnx(whole, {"image": pixels, "map": maps}, ["refined"], path)

    def _train(self, network: FastNetwork, val: MapDataset, workdir: Path) -> None:
        if len(val) < 2:
            fix = "give it two or more: one at least is held out, to choose the epoch"
            raise UserError(f"val has {len(val)} image", "prn-fast is trained on val", fix)
        order = np.random.default_rng(self.seed).permutation(len(val)).tolist()
        count = max(1, round(HELD_OUT * len(val)))
        held_out = self._arrays(val, order[:count], workdir / "held-out")
        train(
            network,
            self._loss,
            self._arrays(val, order[count:], workdir / "arrays"),
            self.recipe,
            workdir=workdir,
            device=self.device,
            seed=self.seed,
            title=f"{type(self).__name__} ({self.size} px)",
            validate=lambda trained: self._mean_ious(trained, held_out, (1.0,))[0],
            finish=lambda trained: self._choose_strength(trained, held_out),
            metadata={name: str(getattr(self, name)) for name in ("size", "width", "encoder")},
        )
        held_out.remove()

    @torch.no_grad()
    def _choose_strength(self, network: nn.Module, held_out: TrainingArrays) -> None:
        """The one with the highest mean IoU on what was held out; the weaker of equal ones."""
        means = self._mean_ious(network.eval(), held_out, STRENGTHS)
        assert isinstance(network, FastNetwork)
        network.strength.fill_(STRENGTHS[int(np.argmax(means))])

    def _mean_ious(self, network: nn.Module, data: TrainingArrays, strengths: Sequence[float]) -> list[float]:
        """Mean foreground IoU at the network's size, for each strength; both empty is 1."""
        assert isinstance(network, FastNetwork)
        every: list[list[Tensor]] = [[] for _ in strengths]
        for batch in data.batches(BATCH):
            batch = {name: field.to(self.device) for name, field in batch.items()}
            maps, truth = probabilities(batch), batch["truth"].bool()
            correction = network.correction(preprocessing(self.encoder)(batch["image"]), maps)
            for found, strength in zip(every, strengths, strict=True):
                found.append(ious(corrected(maps, strength * correction) >= DECISION, truth))
        return [torch.cat(found).mean().item() for found in every]

    def _fitted(self) -> FastNetwork:
        if self._network is None:
            raise RuntimeError("fit() comes first where no weights are given")
        return self._network

    def _build(self) -> FastNetwork:
        import segmentation_models_pytorch as smp

        with seeded(self.seed):
            try:
                encoder = smp.encoders.get_encoder(self.encoder, weights=None)
            except (KeyError, RuntimeError, ValueError) as error:
                raise no_such_encoder(self.encoder, error) from None
            return FastNetwork(encoder, self.width).to(memory_format=torch.channels_last)

    def _arrays(self, val: MapDataset, indices: Sequence[int], folder: Path) -> TrainingArrays:
        side = self.size

        def fill(index: int) -> dict[str, np.ndarray]:
            sample, probs = val[indices[index]]
            return {
                "image": resize(sample.image, side, side).transpose(2, 0, 1),
                "codes": to_uint16(np.clip(resize(probs, side, side), 0, 1))[None],
                "truth": resize_mask(sample.mask, side, side)[None],
            }

        fields: dict[str, Any] = {
            "image": ((3, side, side), np.uint8),
            "codes": ((1, side, side), np.uint16),
            "truth": ((1, side, side), np.bool_),
        }
        return TrainingArrays.build(folder, len(indices), fields, fill, f"val images and maps at {side} px")

    def _loss(self, network: nn.Module, batch: Batch) -> Tensor:
        maps = probabilities(batch)
        correction = network(preprocessing(self.encoder)(batch["image"]), maps)
        return bce_iou(bounded_logits(maps) + correction.float(), batch["truth"].float())

    def _refine_one(self, image: Image, probs: ProbabilityMap) -> ProbabilityMap:
        side = self.size
        pixels = tensor_of(resize(image, side, side).transpose(2, 0, 1))[None]
        small = tensor_of(np.clip(resize(probs, side, side), 0, 1))[None, None]
        inputs = preprocessing(self.encoder)(pixels.to(self.device)), small.to(self.device)
        correction = self._fitted().correction(*inputs)[0, 0].cpu().numpy()
        return corrected(tensor_of(probs), tensor_of(resize(correction, *probs.shape))).numpy()


class _Whole(nn.Module):
    """Network, normalisation and sum: what ONNX is to hold."""

    def __init__(self, network: FastNetwork, encoder: str) -> None:
        super().__init__()
        self.network, self.encoder = network, encoder

    def forward(self, pixels: Tensor, maps: Tensor) -> Tensor:
        return corrected(maps, self.network.correction(preprocessing(self.encoder)(pixels), maps))


def bce_iou(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy plus 1 - soft IoU, a mean over samples. Both ``Bx1xHxW``; the truth 0 or 1.

    The soft IoU is the table's own measure, made smooth: every image counts alike, however small its object.
    """
    probs = logits.sigmoid()
    both = (probs * truth).sum((1, 2, 3))
    either = probs.sum((1, 2, 3)) + truth.sum((1, 2, 3)) - both
    return F.binary_cross_entropy_with_logits(logits, truth) + (1 - (both + 1) / (either + 1)).mean()
