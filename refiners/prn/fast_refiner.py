"""prn-fast as a refiner: corrections of the thresholded map that see the image, kept where val says that they help."""

from __future__ import annotations

import copy
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.contracts import DECISION, Budget, Image, MapDataset, ProbabilityMap, Refiner, SearchSpace, Span, UserError
from bench.cross_fitting import check_enough, folds
from bench.images import resize
from bench.refiners.prn.fast_network import STRIDE, FastNetwork, corrected
from bench.refiners.prn.fast_training import BATCH, EPOCHS, STEPS, arrays, choose, loss, thresholds
from bench.refiners.prn.refiner import PAPER_SIZE, architecture
from bench.refiners.threshold import remap
from bench.runtime.progress import note
from bench.training import Recipe, export_onnx, load_finished, load_weights, save_weights, seeded, train
from bench.training.encoders import EncoderWeights, load_encoder, no_such_encoder, preprocessing
from bench.training.folding import Precision, folded, lowered, prepared
from bench.training.inference import whole_float32
from bench.training.tensors import tensor_of
from bench.training.weights import WEIGHTS

ARCHITECTURE = ("size", "width", "heads", "encoder")
"""What a weights file has to say for the network to be built again."""

ARRAYS = "arrays"


class PrnFast(Refiner):
    """PRN's idea at a fraction of its cost: a correction of the thresholded map, from the map and the image's features.

    Departures from PatchRefineNet, chosen on val splits (docs/results/ladder.md and prn.md have the trials):
    the map is remapped first, so that val's best threshold lies at one half; a correction is *added* to the logits and
    is zero at first, so that nothing has to relearn the map; all convolutions run at stride 8 or coarser; and a small
    ImageNet encoder, frozen, shows it the image, which is where the information beyond one global threshold is. The
    loss is cross-entropy plus 1 - soft IoU on the ground truth alone: pseudo-labels brought nothing here.

    Val is cut into as many parts as there are heads; each head learns, its threshold too, from all parts but one. So
    every val image is judged by a head that has not seen it, and val's mean IoU decides, under the one-standard-error
    rule, what the refiner is: the base's map, the thresholded one, or the one with the correction, whose strength is
    the best of four. It corrects by the mean of all heads.

    Args:
        size: side of the square that images and maps are resized to, a multiple of 32; None is 512. The correction
            is brought back to the image's own size and added there.
        width: channels at stride 8; None is 32.
        heads: how many, 2 or more; None is 4. With fewer val images, one each.
        encoder: name of an smp encoder of depth 5, ``tu-NAME`` of a timm one; None is ``mobilenet_v2``.
        encoder_weights: ``imagenet`` (downloaded by smp), ``none``, or a safetensors/pth file with the keys of the
            smp encoder. They stay as they are: only the heads are trained.
        epochs: passes of a head over its part of val; None is 20, or as many more as make 300 steps of 8 images.
        lr: Adam's first learning rate, falls to 0.
        weights: what an earlier fit left, ``weights.safetensors``; then nothing is trained, and size, width, heads and
            encoder are the file's.
        precision: of inference, as `PatchRefineNet`'s. What val chooses is computed in float32.

    Raises:
        UserError: a wrong size or encoder; the file is no finished training of this refiner; or (at `fit`) the
            encoder's weights are not to be had.
    """

    version = 3
    requires = ("segmentation_models_pytorch",)
    search_space: ClassVar[SearchSpace] = {"width": (16, 32, 64), "lr": Span(1e-4, 1e-2, log=True)}
    cost: ClassVar[Budget] = Budget(seconds=4, memory_mb=220)

    def __init__(
        self,
        *,
        size: int | None = None,
        width: int | None = None,
        heads: int | None = None,
        encoder: str | None = None,
        encoder_weights: EncoderWeights = "imagenet",
        epochs: int | None = None,
        lr: float = 1e-3,
        weights: Path | None = None,
        precision: Precision = "float32",
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        if weights is not None:
            given = {"size": size, "width": width, "heads": heads, "encoder": encoder}
            saved = architecture(weights, ARCHITECTURE, given)
            size, width, heads = int(saved["size"]), int(saved["width"]), int(saved["heads"])
            encoder = saved["encoder"]
        self.size = PAPER_SIZE if size is None else size
        self.width = 32 if width is None else width
        self.heads = 4 if heads is None else heads
        self.encoder = encoder or "mobilenet_v2"
        if self.size < STRIDE or self.size % STRIDE:
            raise UserError(f"a size of {size}", f"prn-fast[size={size}]", f"use a multiple of {STRIDE}")
        if self.width < 1:
            raise UserError(f"width is {self.width}", f"prn-fast[width={self.width}]", "give 1 or more")
        if self.heads < 2:
            fix = "give 2 or more: each judges the part of val that it has not seen"
            raise UserError(f"heads is {self.heads}", f"prn-fast[heads={self.heads}]", fix)
        self.encoder_weights = encoder_weights
        self.epochs = epochs
        self.recipe = Recipe(epochs=EPOCHS if epochs is None else epochs, batch=BATCH, lr=lr, precision="auto")
        self.precision: Precision = precision
        self.device, self.seed = device, seed
        self.trainable = weights is None
        self._network: FastNetwork | None = None
        self._ready: FastNetwork | None = None
        self._fold: NDArray[np.int64]
        if weights is not None:
            self._network = self._build(self.heads)
            load_weights(self._network, weights)
            self._network.to(device).eval()

    def fit(self, val: MapDataset, workdir: Path) -> None:
        """Train on val's images and maps, or load what an earlier, finished call left in ``workdir``."""
        if not self.trainable:
            return
        check_enough(val, "prn-fast")
        network = self._build(min(self.heads, len(val)))
        self._fold = folds(val.ids, len(network.heads), self.seed)
        if not load_finished(network, workdir):
            load_encoder(network.encoder, self.encoder, self.encoder_weights)
            self._train(network.to(self.device), val, workdir)
        # The heads are in the whole's weights; the log of their trainings stays.
        shutil.rmtree(workdir / ARRAYS, ignore_errors=True)
        for head in range(len(network.heads)):
            (workdir / f"head-{head}" / WEIGHTS).unlink(missing_ok=True)
        self._network = network.to(self.device).eval()
        self._ready = None

    def check_fit(self) -> None:
        """See `bench.contracts.Checked`."""
        load_encoder(self._build(1).encoder, self.encoder, self.encoder_weights)

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """The maps with the correction added to their logits, at each map's own size."""
        network = self._prepared()
        every = range(len(network.heads))
        with torch.inference_mode(), whole_float32(), lowered(self.device, self.precision):
            return [self._refine_one(network, image, probs, every) for image, probs in zip(images, maps, strict=True)]

    def refine_unseen(self, val: MapDataset, index: int) -> ProbabilityMap:
        """See `bench.contracts.CrossFitted`: by the one head that has not seen the image."""
        sample, probs = val[index]
        network, head = self._prepared(), int(self._fold[index])
        with torch.inference_mode(), whole_float32(), lowered(self.device, self.precision):
            return self._refine_one(network, sample.image, probs, [head])

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
        """Train the heads one after the other, choose what the refiner is, and keep it."""
        fold = self._fold
        *without, threshold = thresholds(val, fold)
        network.thresholds.copy_(torch.tensor(without))
        data = arrays(network, val, self.size, self._pixels, workdir / ARRAYS)
        for head, start in enumerate(without):
            others = np.flatnonzero(fold != head).tolist()
            least = math.ceil(STEPS / math.ceil(len(others) / BATCH)) if self.epochs is None else 0
            train(
                network.heads[head],
                partial(loss, threshold=start),
                data.part(others),
                replace(self.recipe, epochs=max(self.recipe.epochs, least)),
                workdir=workdir / f"head-{head}",
                device=self.device,
                seed=self.seed,
                title=f"{type(self).__name__} ({self.size} px), head {head + 1} of {len(without)}",
            )
        said = choose(network, data, fold, threshold, self.device)
        note(f"prn-fast: {said}")
        described = (self.size, self.width, len(without), self.encoder)
        metadata = dict(zip(ARCHITECTURE, map(str, described), strict=True))
        save_weights(network, workdir / WEIGHTS, {**metadata, "chosen": said})

    def _fitted(self) -> FastNetwork:
        if self._network is None:
            raise RuntimeError("fit() comes first where no weights are given")
        return self._network

    def _prepared(self) -> FastNetwork:
        if self._ready is None:
            whole = self._fitted()
            self._ready = folded(whole)
            with torch.inference_mode(), whole_float32():
                same = same_features(self._ready, whole, self.size)
            if not same:
                self._ready.encoder = copy.deepcopy(whole.encoder)
            prepared(self._ready, self.precision)
        return self._ready

    def _build(self, heads: int) -> FastNetwork:
        import segmentation_models_pytorch as smp

        with seeded(self.seed):
            try:
                encoder = smp.encoders.get_encoder(self.encoder, weights=None)
            except (KeyError, RuntimeError, ValueError) as error:
                raise no_such_encoder(self.encoder, error) from None
            return FastNetwork(encoder, self.width, heads).to(memory_format=torch.channels_last)

    def _pixels(self, image: Image) -> Tensor:
        """``1x3xSxS`` as the encoder wants it."""
        small = tensor_of(resize(image, self.size, self.size).transpose(2, 0, 1))[None]
        pixels: Tensor = preprocessing(self.encoder)(small.to(self.device))
        return pixels

    def _refine_one(
        self, network: FastNetwork, image: Image, probs: ProbabilityMap, heads: Sequence[int]
    ) -> ProbabilityMap:
        starts = [network.thresholds[head].item() for head in heads]
        if network.strength == 0:
            # Exactly what the base, or the refiner `threshold`, says.
            return probs.copy() if starts[0] == DECISION else remap(probs, starts[0])
        small = tensor_of(np.clip(resize(probs, self.size, self.size), 0, 1))[None, None].to(self.device)
        features = network.features(self._pixels(image))
        correction = network.correction(features, [network.start(small, head) for head in heads], heads)
        moved = [tensor_of(remap(probs, start)) for start in starts]
        return corrected(moved, tensor_of(resize(correction[0, 0].float().cpu().numpy(), *probs.shape))).numpy()


def same_features(folded: FastNetwork, whole: FastNetwork, size: int) -> bool:
    """Whether the norms of an encoder, which may be anybody's, could be folded: its features of noise are the same."""
    noise = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0)).to(whole.strength.device)
    pairs = zip(folded.features(noise), whole.features(noise), strict=True)
    return all(torch.allclose(found, wanted, rtol=0, atol=1e-4 * float(wanted.abs().max())) for found, wanted in pairs)


class _Whole(nn.Module):
    """Network and normalisation: what ONNX is to hold."""

    def __init__(self, network: FastNetwork, encoder: str) -> None:
        super().__init__()
        self.network, self.encoder = network, encoder

    def forward(self, pixels: Tensor, maps: Tensor) -> Tensor:
        refined: Tensor = self.network(preprocessing(self.encoder)(pixels), maps)
        return refined
