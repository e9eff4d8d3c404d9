"""A recipe's optimiser and its schedule, by torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, SupportsFloat

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, ReduceLROnPlateau

from bench.training.recipe import Recipe

BY_PLATEAU = ("plateau", "stale")
"""Schedules that follow the monitored value."""

Groups = Sequence[dict[str, Any]]
"""torch's parameter groups: ``params``, and what differs from the recipe (``lr``, ``weight_decay``)."""


def optimiser(groups: Groups, recipe: Recipe) -> Optimizer:
    """The recipe's optimiser over the groups; one without an ``lr`` of its own has the recipe's."""
    common: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "nadam":
        return torch.optim.NAdam(groups, **common)
    # Lightning clips no gradients of a fused optimiser in mixed precision.
    common["fused"] = not recipe.clip
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=recipe.momentum, **common)
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    return kinds[recipe.optimizer](groups, **common)


def by_step(optimizer: Optimizer, recipe: Recipe, steps: int, steps_an_epoch: int) -> LRScheduler | None:
    """The rate of every step; None for ``constant``, and for those of `plateau`, which change it at an epoch's end.

    Args:
        steps: of the whole training.
        steps_an_epoch: of one epoch.
    """
    if recipe.schedule == "cosine":
        return CosineAnnealingLR(optimizer, steps, recipe.lr_end)
    if recipe.schedule in ("constant", *BY_PLATEAU):
        return None
    floor = recipe.lr_end / recipe.lr

    def factor(step: int) -> float:
        if recipe.schedule == "poly":
            return floor + (1 - floor) * max(0.0, 1 - step / steps) ** recipe.power
        return max(floor, float(recipe.drop ** (step // steps_an_epoch // max(1, recipe.drop_after))))

    return LambdaLR(optimizer, factor)


def plateau(optimizer: Optimizer, recipe: Recipe) -> ReduceLROnPlateau:
    """Step it with the monitored value (higher is better) after every epoch."""
    kind = ReduceLROnPlateau if recipe.schedule == "plateau" else _Stale
    return kind(
        optimizer,
        mode="max",
        factor=recipe.drop,
        patience=recipe.drop_after,
        threshold=0.0,
        threshold_mode="abs",
        min_lr=recipe.lr_end,
    )


class _Stale(ReduceLROnPlateau):
    """Goes on counting where the other begins anew after it has lowered the rate."""

    def step(self, metrics: SupportsFloat, epoch: Any = None) -> None:  # type: ignore[override]  # as torch has it
        """As of the other: ``metrics`` is the monitored value of an epoch."""
        best, stale = self.best, self.num_bad_epochs + 1
        super().step(metrics, epoch)
        self.num_bad_epochs = stale if self.best == best else 0
