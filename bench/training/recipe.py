"""How a network is trained, as data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from bench.contracts import UserError
from bench.training.arrays import Batch

Loss: TypeAlias = Callable[[nn.Module, Batch], Tensor]
"""A network in train mode and a batch -> a scalar."""

Augment: TypeAlias = Callable[[Batch], Batch] | Literal["turns", "none"]
"""``turns``: one of the eight flips and quarter turns, of all fields of two or more axes; ``none``; or a function of a
sample's fields that draws from torch's generator, which is seeded for each sample of each epoch."""

Computed = Literal["32-true", "bf16-mixed", "16-mixed"]
Precision = Computed | Literal["auto"]
Optimizer = Literal["adam", "adamw", "nadam", "sgd"]
Schedule = Literal["cosine", "poly", "step", "plateau", "stale", "constant"]


@dataclass(kw_only=True)
class Recipe:
    """How a network is trained, as data.

    Attributes:
        epochs: at most this many passes over the samples.
        batch: samples a step and device; the last step of an epoch may have fewer.
        lr: the learning rate at the first step.
        optimizer: ``sgd`` has ``momentum``; the others have torch's own betas.
        momentum: of ``sgd``.
        weight_decay: decoupled for ``adamw``, else added to the gradient.
        schedule: of the rate. By the step: ``cosine``, half a cosine down to ``lr_end`` at the last step; ``poly``,
            ``(1 - step / steps) ** power`` down to ``lr_end``. By the epoch: ``step``, times ``drop`` every
            ``drop_after`` epochs; ``plateau``, times ``drop`` after more than ``drop_after`` epochs without a better
            monitored value, never below ``lr_end``, and the count begins anew; ``stale``, as ``plateau``, but the count
            goes on: times ``drop`` after every further such epoch. ``constant``.
        lr_end, power, drop, drop_after: see ``schedule``.
        clip: largest norm of the whole gradient; 0 leaves it as it is.
        accumulate: batches whose gradients make one step.
        patience: stop after this many epochs without a better monitored value; None trains all epochs. The value
            is `train`'s ``validate`` where given (higher is better), else the epoch's mean training loss (lower).
        precision: ``bf16-mixed`` computes convolutions in bfloat16 while weights and optimiser stay float32,
            ``16-mixed`` in float16 with scaled losses; ``auto`` is the faster of float32 and bfloat16, see
            `fast_precision`. On a CPU with AVX512-BF16 a U-Net's step takes 0.6 of the time in bfloat16.
        devices: GPUs (or, on a CPU, processes) that share each epoch's batches, by Lightning's DDP.

    Raises:
        UserError: a number is out of its range.
    """

    epochs: int
    batch: int
    lr: float
    optimizer: Optimizer = "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Schedule = "cosine"
    lr_end: float = 0.0
    power: float = 0.9
    drop: float = 0.1
    drop_after: int = 0
    clip: float = 0.0
    accumulate: int = 1
    patience: int | None = None
    precision: Precision = "32-true"
    devices: int = 1

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "accumulate", "devices"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be at least 1", f"{name}={getattr(self, name)}", f"use {name}=1 or more")
        # Asked the other way round, "nan" would pass.
        if not 0 < self.lr < math.inf:
            raise UserError("the learning rate must be above 0", f"lr={self.lr:g}", "use e.g. lr=0.001")
        if not 0 < self.drop <= 1:
            raise UserError("drop multiplies the rate", f"drop={self.drop:g}", "use a number above 0, at most 1")
        for name in ("lr_end", "weight_decay", "clip", "drop_after", "power", "momentum", "patience"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                what = "must be a number" if value != value else "cannot be negative"
                raise UserError(f"{name} {what}", f"{name}={value:g}", f"use {name}=0 or more")

    def resolved_precision(self, device: str) -> Computed:
        """What ``precision`` means on ``"cpu"`` or ``"cuda"``."""
        return fast_precision(device) if self.precision == "auto" else self.precision


def fast_precision(device: str) -> Computed:
    """``bf16-mixed`` where the hardware computes in bfloat16 itself; elsewhere it would be slower than float32."""
    if device == "cuda":
        import pynvml

        # Not by torch: it would open the GPU here, and a training on several could not fork any more.
        try:
            pynvml.nvmlInit()
            native = pynvml.nvmlDeviceGetCudaComputeCapability(pynvml.nvmlDeviceGetHandleByIndex(0))[0] >= 8
        except pynvml.NVMLError:
            native = False
    else:
        native = bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    return "bf16-mixed" if native else "32-true"


def ious(pred: Tensor, mask: Tensor) -> Tensor:
    """Foreground IoU of each sample of a batch, ``(B,)``, for `train`'s ``validate``; both empty is 1.

    Args:
        pred, mask: bool ``Bx1xHxW``.
    """
    both, either = (pred & mask).sum((1, 2, 3)), (pred | mask).sum((1, 2, 3))
    return torch.where(either > 0, both / either.clamp(min=1), 1.0)


def mixed(*entropy: int) -> int:
    """One seed from several numbers, such that near ones give unlike seeds."""
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Build a network under this: its weights depend on ``seed`` alone, and the caller's random state is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
