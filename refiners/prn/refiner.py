"""PatchRefineNet as a refiner: trained on the val split's maps, it sees maps only, never the image."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from bench.contracts import Budget, Image, MapDataset, ProbabilityMap, Refiner, SearchSpace, Span, UserError
from bench.images import resize, resize_mask, to_uint16
from bench.patches import patch_optimal
from bench.refiners.prn.loss import EPSILON, TERMS, prn_loss
from bench.refiners.prn.network import Branches, PrnNetwork, patch_sides
from bench.training import (
    Batch,
    Recipe,
    TrainingArrays,
    export_onnx,
    load_finished,
    load_weights,
    read_metadata,
    seeded,
    train,
)
from bench.training.folding import Precision, folded, lowered, prepared
from bench.training.inference import whole_float32
from bench.training.tensors import tensor_of

PAPER_SIZE = 512
LR_END = 5e-8
BATCH = 4
PATIENCE = 10


class PatchRefineNet(Refiner):
    """Nagendra & Kifer, WACV 2024: learns from val to binarise each patch as the ground truth would have it.

    The parameters' defaults are the paper's at 512 pixels. At another size, ``patch``, ``width`` and ``epochs``
    follow it, so that a small run is the paper's in miniature: 8 x 8 patches; a sixteenth of the size as
    channels, at least 8; and 300 epochs times the squared ratio of sizes, at least 10.

    Args:
        size: side of the square that maps are resized to, a multiple of 8; None is 512.
        patch: side of a patch, divides ``size``; None is the multiple of 8 nearest to ``size / 8``.
        grid: patches a side, in place of ``patch``; divides ``size``.
        width: channels of the network's first level; None is ``max(8, size / 16)``.
        branches: ``both``, ``global`` or ``local`` (the paper's ablation).
        terms: the loss's terms, joined by ``+``: ``focal`` and ``boundary`` on the pseudo-labels, ``truth``.
        epochs: at most; training ends after 10 epochs without a lower loss. None is
            ``max(10, 300 * (size / 512) ** 2)``.
        alpha: weight of the pseudo-labels' terms of the loss against the ground truth's.
        gamma: of the focal term; the paper does not print it, 2 is the released code's.
        floor: of the boundary term, over 0 and under 0.5: predicted strengths outside ``[floor, 1 - floor]`` get no
            gradient. The default is the paper's form, down to float32's rounding; the variant ``prn-held`` has 0.1,
            which leaves the faint slopes of a map alone.
        lr: of the first step, falls to 5e-8.
        weights: what an earlier fit left, ``weights.safetensors``; then nothing is trained, and size, patch, width
            and branches are the file's.
        precision: of inference. ``bf16`` computes the convolutions in bfloat16: half the time where a CPU has
            AVX512-BF16, and probabilities that differ by thousandths. (A training is in bfloat16 wherever the hardware
            has it, and in float32 elsewhere.)

    Raises:
        UserError: the parameters do not fit together, or the file is no finished training of this refiner.
    """

    version = 3
    search_space: ClassVar[SearchSpace] = {"grid": (1, 2, 4, 8), "alpha": Span(0.0, 1.0), "gamma": Span(0.0, 4.0)}
    cost: ClassVar[Budget] = Budget(seconds=20, memory_mb=1200)

    def __init__(
        self,
        *,
        size: int | None = None,
        patch: int | None = None,
        grid: int | None = None,
        width: int | None = None,
        branches: Branches = "both",
        terms: str = "+".join(TERMS),
        epochs: int | None = None,
        alpha: float = 0.7,
        gamma: float = 2.0,
        floor: float = EPSILON,
        lr: float = 8e-4,
        weights: Path | None = None,
        precision: Precision = "float32",
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        if weights is not None:
            saved = architecture(weights, ("size", "patch", "width", "branches"), {"size": size, "patch": patch})
            size, patch, grid, width = int(saved["size"]), int(saved["patch"]), None, int(saved["width"])
            branches = saved["branches"]
        self.size = PAPER_SIZE if size is None else size
        self.patch = patch_side(self.size, patch, grid)
        self.width = max(8, self.size // 16) if width is None else width
        self.branches: Branches = branches
        self.terms = checked_terms(terms)
        self.epochs = max(10, round(300 * (self.size / PAPER_SIZE) ** 2)) if epochs is None else epochs
        if not 0 <= alpha <= 1:
            raise UserError(f"alpha is {alpha}", "alpha=", "give a share from 0 to 1")
        if not 0 <= gamma < math.inf:
            raise UserError(f"gamma is {gamma}", "gamma=", "give 0 or more")
        self.alpha, self.gamma, self.floor = alpha, gamma, checked_floor(floor)
        self.recipe = Recipe(epochs=self.epochs, batch=BATCH, lr=lr, lr_end=LR_END, patience=PATIENCE, precision="auto")
        self.precision: Precision = precision
        self.device, self.seed = device, seed
        self.trainable = weights is None
        self._ready: nn.Module | None = None
        with seeded(seed):
            self.network = self._build()
        # The fastest layout for convolutions on a CPU.
        self.network.to(memory_format=torch.channels_last)
        if weights is not None:
            load_weights(self.network, weights)
            self.network.to(device).eval()

    def fit(self, val: MapDataset, workdir: Path) -> None:
        """Train on val's maps, or load what an earlier, finished call left in ``workdir``."""
        if self.trainable and not load_finished(self.network, workdir):
            data = self._arrays(val, workdir / "arrays")
            train(
                self.network,
                self._loss,
                data,
                self.recipe,
                workdir=workdir,
                device=self.device,
                seed=self.seed,
                title=f"{type(self).__name__} ({self.size} px)",
                finish=lambda network: settle_batch_norm(network, data, self.device),
                metadata=self._metadata(),
            )
        self.network.to(self.device).eval()
        self._ready = None

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """The mean of the branches' probabilities, at each map's own size. Images are not looked at."""
        if self._ready is None:
            self._ready = prepared(folded(self.network), self.precision)
        with torch.inference_mode(), whole_float32(), lowered(self.device, self.precision):
            return [self._refine_one(self._ready, probs) for probs in maps]

    def export_onnx(self, path: Path) -> None:
        """Write the network: ``map``, float32 ``Bx1xSxS`` in [0, 1], to ``refined`` of the same shape."""
        example = torch.rand(2, 1, self.size, self.size, generator=torch.Generator().manual_seed(0))
        whole = _Whole(copy.deepcopy(self.network), self._combined).to("cpu").eval()
        export_onnx(whole, {"map": example}, ["refined"], path)

    def _build(self) -> nn.Module:
        """The network, with its initial weights: ``Bx1xSxS`` probabilities -> a tuple of logits, one a branch."""
        return PrnNetwork(self.size, self.patch, self.width, self.branches)

    def _metadata(self) -> dict[str, str]:
        """What the weights' file has to say for the network to be built again."""
        return {name: str(getattr(self, name)) for name in ("size", "patch", "width", "branches")}

    def _combined(self, branches: tuple[Tensor, ...]) -> Tensor:
        """Logits of the branches -> probabilities ``Bx1xSxS``."""
        return torch.stack([logits.sigmoid() for logits in branches]).mean(dim=0)

    def _refine_one(self, network: nn.Module, probs: ProbabilityMap) -> ProbabilityMap:
        small = tensor_of(resize(probs, self.size, self.size))
        branches = tuple(logits.float() for logits in network(small[None, None].to(self.device)))
        refined = self._combined(branches)[0, 0]
        return np.clip(resize(refined.cpu().numpy(), *probs.shape), 0, 1)

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
        branches = [logits.float() for logits in network(probabilities(batch))]
        pseudo, truth = batch["pseudo"].float(), batch["truth"].float()
        return prn_loss(branches, pseudo, truth, self.alpha, self.gamma, self.terms, self.floor)


class _Whole(nn.Module):
    """The network with what makes one map of its branches: what ONNX is to hold."""

    def __init__(self, network: nn.Module, combined: Callable[[tuple[Tensor, ...]], Tensor]) -> None:
        super().__init__()
        self.network, self.combined = network, combined

    def forward(self, maps: Tensor) -> Tensor:
        return self.combined(self.network(maps))


def architecture(weights: Path, names: Sequence[str], given: dict[str, Any]) -> dict[str, Any]:
    """What a weights file says of its network.

    Args:
        weights: a file that a fit of this refiner wrote.
        names: what it has to say.
        given: what the user said; None is nothing.

    Raises:
        UserError: it is no such file, or the user said something else.
    """
    saved = read_metadata(weights)
    if missing := [name for name in names if name not in saved]:
        fix = "name weights that 'bench run' fitted for this refiner"
        raise UserError(f"the file does not say its {missing[0]}", weights, fix)
    for name, value in given.items():
        if value is not None and str(value) != saved[name]:
            fix = f"leave {name}= out, or name other weights"
            raise UserError(f"{name}={value}, but these weights have {name}={saved[name]}", weights, fix)
    return saved


def checked_terms(terms: str) -> tuple[str, ...]:
    """``"focal+truth"`` -> its parts. Raises UserError where one is none of the loss's terms."""
    parts = tuple(terms.split("+"))
    if unknown := [part for part in parts if part not in TERMS]:
        raise UserError(f"no such term {unknown[0]!r}", f"terms={terms}", f"join some of {', '.join(TERMS)} with +")
    return parts


def checked_floor(floor: float) -> float:
    """The floor of a boundary term. Raises UserError where it is none."""
    if not 0 < floor < 0.5:
        fix = "give more than 0 and less than 0.5; without it the paper's form is used"
        raise UserError(f"floor is {floor}", "floor=", fix)
    return floor


def patch_side(size: int, patch: int | None, grid: int | None) -> int:
    """The side of a patch, from itself or from the number of patches a side. Raises UserError where both are given."""
    if grid is None:
        return default_patch(size) if patch is None else patch
    if patch is not None:
        raise UserError("both a patch and a grid", f"prn[patch={patch},grid={grid}]", "give one of them")
    if grid < 1 or size % grid:
        fix = "use a number that divides the size"
        raise UserError(f"a grid of {grid} in a size of {size}", f"prn[grid={grid}]", fix)
    return size // grid


def default_patch(size: int) -> int:
    """The multiple of 8 that cuts a map nearest to 8 x 8 patches; 8 where there is none."""
    sides = [side for side in patch_sides(size) if side % 8 == 0]
    return min(sides, key=lambda side: (abs(side - size / 8), -side), default=8)


def probabilities(batch: Batch) -> Tensor:
    """float32 ``BxCxSxS`` in [0, 1] of a batch's 16-bit codes."""
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
