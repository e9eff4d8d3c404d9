"""PatchRefineNet as a refiner: trained on the val split's maps, it sees maps only, never the image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bench.contracts import Image, MapDataset, ProbabilityMap
from bench.images import resize, resize_mask, to_uint16
from bench.training import Batch, Recipe, TrainingArrays, fast_precision, load_finished, seeded, train
from refiners.prn.loss import prn_loss
from refiners.prn.network import PrnNetwork, patch_sides
from refiners.prn.pseudo_labels import patch_optimal

PAPER_SIZE = 512
LR_END = 5e-8
BATCH = 4
PATIENCE = 10


class PatchRefineNet:
    """Nagendra & Kifer, WACV 2024: learns from val to binarise each patch as the ground truth would have it.

    The parameters' defaults are the paper's at 512 pixels. At another size, ``patch``, ``width`` and ``epochs``
    follow it, so that a small run is the paper's in miniature: 8 x 8 patches; a sixteenth of the size as
    channels, at least 8; and 300 epochs times the squared ratio of sizes, at least 10.

    Args:
        size: side of the square that maps are resized to, a multiple of 8.
        patch: side of a patch, divides ``size`` and is a multiple of 8; None is the one nearest to ``size / 8``.
        width: channels of the network's first level; None is ``max(8, size / 16)``.
        epochs: at most; training ends after 10 epochs without a lower loss. None is
            ``max(10, 300 * (size / 512) ** 2)``.
        alpha: weight of the pseudo-labels' terms of the loss against the ground truth's.
        gamma: of the focal term; the paper does not print it, 2 is the released code's.
        lr: of the first step, falls to 5e-8.

    Raises:
        UserError: size, patch and width do not fit together.
    """

    requires: tuple[str, ...] = ()
    extra = ""
    version = 1
    trainable = True
    uses_ground_truth = False

    def __init__(
        self,
        *,
        size: int = PAPER_SIZE,
        patch: int | None = None,
        width: int | None = None,
        epochs: int | None = None,
        alpha: float = 0.7,
        gamma: float = 2.0,
        lr: float = 8e-4,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        self.size = size
        self.patch = default_patch(size) if patch is None else patch
        self.width = max(8, size // 16) if width is None else width
        self.epochs = max(10, round(300 * (size / PAPER_SIZE) ** 2)) if epochs is None else epochs
        self.alpha, self.gamma, self.lr = alpha, gamma, lr
        self.device, self.seed = device, seed
        with seeded(seed):
            self.network = PrnNetwork(size, self.patch, self.width)
        # The fastest layout for convolutions on a CPU.
        self.network.to(memory_format=torch.channels_last)

    def fit(self, val: MapDataset, workdir: Path) -> None:
        """Train on val's maps, or load what an earlier, finished call left in ``workdir``."""
        if not load_finished(self.network, workdir):
            data = self._arrays(val, workdir / "arrays")
            recipe = Recipe(self.epochs, BATCH, self.lr, LR_END, PATIENCE, precision=fast_precision(self.device))
            train(
                self.network,
                self._loss,
                data,
                recipe,
                workdir=workdir,
                device=self.device,
                seed=self.seed,
                title=f"prn[size={self.size}]",
                finish=lambda network: settle_batch_norm(network, data, self.device),
            )
        self.network.to(self.device).eval()

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """The mean of both branches' probabilities, at each map's own size. Images are not looked at."""
        # PyTorch's default lets a GPU convolve in TF32, at a thousandth's precision.
        with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
            return [self._refine_one(probs) for probs in maps]

    def _refine_one(self, probs: ProbabilityMap) -> ProbabilityMap:
        small = torch.from_numpy(np.ascontiguousarray(resize(probs, self.size, self.size)))
        whole, local = self.network(small[None, None].to(self.device))
        mean = (whole.sigmoid() + local.sigmoid())[0, 0] / 2
        return np.clip(resize(mean.cpu().numpy(), *probs.shape), 0, 1)

    def _arrays(self, val: MapDataset, folder: Path) -> TrainingArrays:
        side = self.size
        shape = (1, side, side)

        def fill(index: int) -> dict[str, np.ndarray]:
            sample, probs = val[index]
            codes = to_uint16(np.clip(resize(probs, side, side), 0, 1))
            truth = resize_mask(sample.mask, side, side)
            pseudo = patch_optimal(codes, truth, self.patch).labels
            return {"codes": codes[None], "truth": truth[None], "pseudo": pseudo[None]}

        fields = {"codes": (shape, np.uint16), "truth": (shape, np.bool_), "pseudo": (shape, np.bool_)}
        return TrainingArrays.build(folder, len(val), fields, fill, f"pseudo-labels at {side} px")

    def _loss(self, network: nn.Module, batch: Batch) -> Tensor:
        whole, local = network(probabilities(batch))
        pseudo, truth = batch["pseudo"].float(), batch["truth"].float()
        return prn_loss((whole.float(), local.float()), pseudo, truth, self.alpha, self.gamma)


def default_patch(size: int) -> int:
    """The side that cuts a map nearest to 8 x 8 patches; 8 where the size is unfit anyway."""
    return min(patch_sides(size), key=lambda side: (abs(side - size / 8), -side), default=8)


def probabilities(batch: Batch) -> Tensor:
    """float32 ``Bx1xSxS`` in [0, 1] of a batch's 16-bit codes."""
    return batch["codes"].float() / 65535


def settle_batch_norm(network: nn.Module, data: TrainingArrays, device: str) -> None:
    """Take batch norm's statistics once more, with the final weights, over the maps as they are.

    Those of the training are a moving average that lags behind the weights, over augmented maps in bfloat16. At the
    end of the cosine the two differ little (at most 0.1 mIoU on 200 synthetic maps); where patience ends a training
    early, at a high rate, they need not. Group norm instead ended 1.3 points lower there (87.0 against 88.3).
    """
    maps = (probabilities(batch).to(device) for batch in data.batches(BATCH))
    with torch.no_grad():
        torch.optim.swa_utils.update_bn(maps, network)
