"""CascadePSP as a refiner: on the authors' weights, or trained on val's images and masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import nn

from bench.contracts import DECISION, Budget, Image, MapDataset, ProbabilityMap, Refiner, SearchSpace, Span, UserError
from bench.refiners.cascadepsp import network as networks
from bench.refiners.cascadepsp.steps import HIGHEST, LEAST_CROP, Levels, Steps
from bench.refiners.cascadepsp.training import Course, train_network
from bench.training import load_finished
from bench.training.encoders import EncoderWeights
from bench.training.folding import Precision, lowered, prepared
from bench.training.inference import whole_float32


class CascadePsp(Refiner):
    """CascadePSP, CVPR 2020: the mask, cleaned at a fixed size and then crop by crop at the image's own.

    It binarises the map, so what the base was unsure of is lost on it, and returns maps of 8 bits, as the package does:
    in float32 on a CPU they are those of the package's ``Refiner.refine``, bit for bit. The released weights saw
    MSRA-10K, DUTS (train and test), ECSSD and FSS-1000: on those sets their numbers are not clean. Weights trained here
    (``weights=train``) saw val alone, and an encoder that saw ImageNet. docs/cascadepsp.md says what to type.

    Args:
        weights: the authors' file, or ``weights.safetensors`` of a training here; ``train``: train on val; None looks
            for the authors' file in their package's cache folder, ``~/.segmentation-refinement``.
        L: longest side of the global step and side of the local step's crops, pixels. A smaller image is enlarged to
            it: seconds and memory grow with its square whatever the image's size.
        levels: passes of the global step. 3 is the released cascade. Its code has no way to ask for one level, so 1 is
            a definition of ours: the last pass alone, which is told that the passes at 1/8 and 1/4 said what the input
            mask says. The local step stays as released.
        fast: the global step alone.
        low_threshold: the local step leaves crops with a smaller share of foreground as they are. The package's 0.1
            leaves out almost all crops of thin roads; 0 leaves out none. Crops with more than 0.9 are always left out.
        batch: crops a forward pass of the local step; None is 1 on a CPU and 8 on a GPU. On a CPU several at once are
            no faster, and oneDNN may choose another kernel for them: values move by 1e-6, an 8-bit code now and then.
        precision: ``bf16`` computes the network's convolutions in bfloat16, in 0.4 of the time where a CPU has
            AVX512-BF16.
        epochs, steps: of a training; 60 epochs of 750 steps are the authors' 45,000 iterations.
        train_batch: crops a step of a training.
        crop: their side in pixels, a multiple of 8.
        lr: Adam's first rate, times 0.1 after 5/12 and after 10/12 of the epochs.
        encoder_weights: what a training begins from: ``imagenet`` (torchvision's ResNet-50, downloaded), ``none``, or a
            file with torchvision's names.

    Raises:
        UserError: the weights are absent, or neither the release (by checksum) nor of a training here; a number is out
            of range; or (at `fit`) the encoder's weights are not to be had.
    """

    requires = ("segmentation_refinement",)
    extra = "cascadepsp"
    version = 4
    # Without L: a trial at the default already costs minutes an image.
    search_space: ClassVar[SearchSpace] = {"low_threshold": Span(0.0, 0.2), "levels": (1, 3)}
    # Twice what `make bench` measured on one thread (docs/cascadepsp.md).
    cost: ClassVar[Budget] = Budget(seconds=250, memory_mb=8300)

    def __init__(
        self,
        *,
        weights: Path | Literal["train"] | None = None,
        L: int = 900,
        levels: Levels = 3,
        fast: bool = False,
        low_threshold: float = 0.1,
        batch: int | None = None,
        precision: Precision = "float32",
        epochs: int = 60,
        steps: int = 750,
        train_batch: int = 12,
        crop: int = 224,
        lr: float = 2.25e-4,
        encoder_weights: EncoderWeights = "imagenet",
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        least = networks.STRIDE if fast else LEAST_CROP
        if least > L:
            raise UserError(f"L must be at least {least}", f"cascadepsp[L={L}]", f"use L={least} or more")
        if not 0 <= low_threshold <= HIGHEST:
            fix = f"use a share from 0 to {HIGHEST}"
            raise UserError("low_threshold out of range", f"low_threshold={low_threshold:g}", fix)
        if batch is not None and batch < 1:
            raise UserError("batch must be at least 1", f"batch={batch}", "use batch=1 or more")
        self.trainable = weights == "train"
        self.weights = None if weights == "train" else weights or networks.CACHE
        self.trained_on = networks.trained_on(self.weights) if self.weights else ()
        self.inference = Steps(L, levels, fast, low_threshold, batch or (8 if device == "cuda" else 1))
        self.course = Course(epochs, steps, train_batch, crop, lr)
        self.precision: Precision = precision
        self.encoder_weights = encoder_weights
        self.device, self.seed = device, seed
        self._network: nn.Module | None = None

    def fit(self, val: MapDataset, workdir: Path) -> None:
        """With ``weights=train``: train on val's images and masks, or load what a finished call left in ``workdir``.

        The base's maps are not looked at: what is learned is to undo `bench.refiners.cascadepsp.perturb`.
        """
        if not self.trainable:
            return
        network = networks.build(self.seed)
        if not load_finished(network, workdir):
            networks.pretrain(network, self.encoder_weights)
            train_network(network, val, self.course, workdir=workdir, device=self.device, seed=self.seed)
        self._network = self._placed(network)

    def check_fit(self) -> None:
        """See `bench.contracts.Checked`."""
        networks.pretrain(networks.build(self.seed), self.encoder_weights)

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """See `bench.contracts.Refiner`. Maps have 8 bits, ``k / 255``: the package's decision is ``k > 127``."""
        network = self._ready()
        with torch.inference_mode(), whole_float32(), lowered(self.device, self.precision):
            return [self._refine_one(network, image, probs) for image, probs in zip(images, maps, strict=True)]

    def _refine_one(self, network: nn.Module, image: Image, probs: ProbabilityMap) -> ProbabilityMap:
        pixels = torch.from_numpy(np.array(image.transpose(2, 0, 1), order="C"))[None].to(self.device)
        mask = torch.from_numpy(probs >= DECISION)[None, None].to(self.device)
        refined = self.inference(network, networks.normalised(pixels), networks.signed(mask))[0, 0]
        codes = (refined * 255).to(torch.uint8).cpu().numpy()
        return (codes / np.float32(255)).astype(np.float32)

    def _ready(self) -> nn.Module:
        if self._network is None:
            if self.weights is None:
                raise RuntimeError("fit() comes first where no weights are given")
            self._network = self._placed(networks.loaded(self.weights))
        return self._network

    def _placed(self, network: nn.Module) -> nn.Module:
        network.to(self.device).eval()
        if self.precision == "bf16":
            # In float32 another layout would not be the package's to the last bit.
            prepared(network.to(memory_format=torch.channels_last), self.precision)
        return network
