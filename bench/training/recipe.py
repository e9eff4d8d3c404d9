"""How a network is trained, as data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from bench.training.arrays import Batch

Loss: TypeAlias = Callable[[nn.Module, Batch], Tensor]
"""A network in train mode and a batch -> a scalar."""

Precision = Literal["32-true", "bf16-mixed"]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained, as data.

    Attributes:
        epochs: at most this many passes over the samples.
        batch: samples a step; the last step of an epoch may have fewer.
        lr: Adam's learning rate at the first step; it follows half a cosine down to `lr_end` at the last one.
        lr_end: see `lr`.
        patience: stop after this many epochs without a better monitored value; None trains all epochs. The value
            is `train`'s ``validate`` where given (higher is better), else the epoch's mean training loss (lower).
        precision: ``bf16-mixed`` computes convolutions in bfloat16 while weights and optimiser stay float32; see
            `fast_precision`. On a CPU with AVX512-BF16 a U-Net's step takes 0.6 of the time.
    """

    epochs: int
    batch: int
    lr: float
    lr_end: float = 0.0
    patience: int | None = None
    precision: Precision = "32-true"


def fast_precision(device: str) -> Precision:
    """``bf16-mixed`` where the hardware computes in bfloat16 itself; elsewhere it would be slower than float32."""
    if device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
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


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Build a network under this: its weights depend on ``seed`` alone, and the caller's random state is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
