"""PatchRefineNet as its authors released it, as a refiner."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts import Budget, SearchSpace, Span, UserError
from bench.refiners.prn.loss import EPSILON
from bench.refiners.prn.network import STRIDE
from bench.refiners.prn.refiner import PAPER_SIZE, PatchRefineNet
from bench.refiners.prn.released import ReleasedNetwork, load_released
from bench.training import read_metadata


class PrnReleased(PatchRefineNet):
    """The released network, with a checkpoint of the authors or trained on val.

    The training is the paper's, as `PatchRefineNet`'s: the released one passes its losses' arguments in the wrong
    order, and on today's PyTorch its gradient is NaN. The pseudo-labels' patches are the local
    decoder's (the whole map without one); the released code trained ThreshNetP4 on those of 256 pixels.

    The released prediction never leaves train mode. So batch norm takes its statistics of the one map that it is
    given, and in the local decoder, which sees the patches one by one, of the one patch. ``statistics=batch`` does
    that. There each map also changes the running statistics, which nothing reads; here they stay as they are. It is
    slower, sensitive to rounding where channels are nearly flat, and not to be had as ONNX.

    Args:
        size: side of the square that maps are resized to, a multiple of 64 for 8x8 patches, of 32 for 4x4, of 8
            without; None is that of ``weights``' training, else 512.
        grid: 8, 4 or 0, see `ReleasedNetwork`; None is that of ``weights``, else 8.
        row_slip: see `ReleasedNetwork`. Off; the authors' checkpoint of 8x8 patches belongs to code that has it.
        rule: ``mean`` of both branches, the paper's; or ``released``, a map of 0 and 1, see `released_rule`.
        statistics: batch norm's at prediction: ``training``, those of the training; or ``batch``, see above.
        weights: the authors' file, e.g. ``p64_weights.th``, or what an earlier fit left; then nothing is trained.
        epochs: as `PatchRefineNet`'s, and so are alpha, gamma, floor and lr.

    Raises:
        UserError: the parameters do not fit together, or not with the weights.

    Example:
        >>> refiner = PrnReleased(size=128, row_slip=True, rule="released")
        >>> refiner.patch, refiner.epochs
        (16, 19)
    """

    search_space: ClassVar[SearchSpace] = {"alpha": Span(0.0, 1.0), "gamma": Span(0.0, 4.0)}
    cost: ClassVar[Budget] = Budget(seconds=30, memory_mb=1200)

    def __init__(
        self,
        *,
        size: int | None = None,
        grid: int | None = None,
        row_slip: bool = False,
        rule: Literal["mean", "released"] = "mean",
        statistics: Literal["training", "batch"] = "training",
        epochs: int | None = None,
        alpha: float = 0.7,
        gamma: float = 2.0,
        floor: float = EPSILON,
        lr: float = 8e-4,
        weights: Path | None = None,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        said = {} if weights is None else said_of_training(weights)
        if said.get("row_slip", str(row_slip)) != str(row_slip):
            fix = f"use row_slip={str(not row_slip).lower()}"
            raise UserError(f"weights trained with row_slip={said['row_slip']}", weights, fix)
        self._loaded = None if weights is None else load_released(weights, grid, row_slip)
        if self._loaded is not None:
            grid = self._loaded.grid
        self.grid, self.row_slip, self.rule = 8 if grid is None else grid, row_slip, rule
        self.statistics = statistics
        if rule == "released" and self.grid == 0:
            raise UserError("the released rule joins two branches", "rule=released", "use rule=mean with grid=0")
        if size is None:
            size = int(said.get("size", PAPER_SIZE))
        super().__init__(
            size=size,
            patch=size // max(1, self.grid),
            epochs=epochs,
            alpha=alpha,
            gamma=gamma,
            floor=floor,
            lr=lr,
            device=device,
            seed=seed,
        )
        if self._loaded is not None:
            self.trainable = False
            self.network.to(device).eval()

    def export_onnx(self, path: Path) -> None:
        """As `PatchRefineNet.export_onnx`. Raises UserError with ``statistics=batch``."""
        if self.statistics == "batch":
            # Dividing by the deviations of nearly flat channels, float32's rounding grows: up to 1e-3 apart on random
            # weights, and torch no nearer to float64 than onnxruntime. An export is held to 1e-4.
            where, fix = "prn-released[statistics=batch]", "export with statistics=training"
            raise UserError("rounding makes an ONNX file with one map's statistics differ too much", where, fix)
        super().export_onnx(path)

    def _build(self) -> nn.Module:
        network = ReleasedNetwork(self.grid, self.row_slip) if self._loaded is None else self._loaded
        if self.size < network.multiple or self.size % network.multiple:
            where = f"prn-released[size={self.size}]"
            raise UserError(f"a size of {self.size}", where, f"use a multiple of {network.multiple}")
        if self.statistics == "batch":
            if self.size < 2 * STRIDE:
                where, fix = f"prn-released[size={self.size},statistics=batch]", f"use a size of {2 * STRIDE} or more"
                raise UserError(f"statistics of one value, at stride {STRIDE}", where, fix)
            network.normalise_alone()
        return network

    def _metadata(self) -> dict[str, str]:
        return {"size": str(self.size), "row_slip": str(self.row_slip)}

    def _combined(self, branches: tuple[Tensor, ...]) -> Tensor:
        if self.rule == "mean":
            return super()._combined(branches)
        whole, local = (logits.sigmoid() for logits in branches)
        return released_rule(whole, local)


def said_of_training(weights: Path) -> dict[str, str]:
    """What the file of an earlier fit says of its training; nothing where it is the authors'."""
    if weights.suffix != ".safetensors":
        return {}
    try:
        return read_metadata(weights)
    except UserError:
        # Converted from the authors' file, or damaged, which `load_released` will tell.
        return {}


def released_rule(whole: Tensor, local: Tensor) -> Tensor:
    """The released code's prediction from both branches; the paper's is their mean instead.

    Foreground is where the global map exceeds 0.5, and every pixel that touches one, diagonally too, where both maps
    do. So the local map can only widen the global one's objects, by a pixel: it removes none and adds none.

    Args:
        whole: the global branch's probabilities, ``Bx1xHxW``.
        local: the local branch's, of the same shape.

    Returns:
        0 or 1, of the same shape and dtype as ``whole``.
    """
    foreground = whole > 0.5
    agreed = (foreground & (local > 0.5)).to(whole.dtype)
    return torch.maximum(foreground.to(whole.dtype), F.max_pool2d(agreed, 3, stride=1, padding=1))
