"""EfficientLab's inner loop: some SGD steps on the few images of one class, from a network that stays as it is.

The weights of the loop are tensors beside the network, run through it by `torch.func.functional_call`: there is
nothing to restore afterwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bench.bases.efficientlab.augmentation import augmented
from bench.bases.efficientlab.loss import criterion
from bench.training import Preprocessing

BATCH = 8
WEIGHT_DECAY = 5e-4

Weights = dict[str, Tensor]
"""Name -> value of a network's parameters, or of its buffers."""


def cycled(count: int, steps: int) -> list[list[int]]:
    """Indices of ``steps`` batches of 8 from ``count`` images: through all of them, reshuffled, and again.

    A batch from fewer than 8 images holds some of them twice.
    """
    rounds = math.ceil(steps * BATCH / count)
    order = [index for _ in range(rounds) for index in torch.randperm(count).tolist()]
    return [order[step * BATCH : (step + 1) * BATCH] for step in range(steps)]


@dataclass(frozen=True)
class InnerLoop:
    """SGD on a class's images.

    Attributes:
        network: lends its structure, and its mode: in train mode dropout is on, and batch norm uses the batch and moves
            its statistics.
        lr: SGD's rate.
        preprocessing: of the pixels.
        augment: whether `run` changes the images at random.
    """

    network: nn.Module
    lr: float
    preprocessing: Preprocessing
    augment: bool

    def begin(self) -> Weights:
        """The network's own parameters, as the first weights."""
        return {name: value.detach().requires_grad_() for name, value in self.network.named_parameters()}

    def run(self, weights: Weights, buffers: Weights, images: Tensor, masks: Tensor, steps: int) -> Weights:
        """The weights after ``steps`` steps on batches of the images.

        Args:
            weights: to start from; not changed.
            buffers: batch norm's statistics, changed in place; where empty, the network's own are.
            images: uint8 ``Nx3xSxS``.
            masks: bool ``Nx1xSxS``.
        """
        for chosen in cycled(len(images), steps):
            weights, _ = self.step(weights, buffers, images[chosen], masks[chosen], augment=self.augment)
        return weights

    def step(
        self, weights: Weights, buffers: Weights, images: Tensor, masks: Tensor, *, augment: bool = False
    ) -> tuple[Weights, Tensor]:
        """The weights after one step on these images, and the loss before it, without the decay."""
        inputs, targets = images.float() / 255, masks.float()
        if augment:
            inputs, targets = augmented(inputs, targets)
        with torch.enable_grad():
            logits = functional_call(self.network, {**weights, **buffers}, (self.preprocessing(inputs * 255),))
            loss = criterion(logits.float(), targets)
            gradients = torch.autograd.grad(loss, list(weights.values()))
        moved = {}
        for (name, value), gradient in zip(weights.items(), gradients, strict=True):
            decay = 0.0 if name in self._undecayed else WEIGHT_DECAY
            moved[name] = (value.detach() - self.lr * (gradient + decay * value.detach())).requires_grad_()
        return moved, loss.detach()

    @cached_property
    def _undecayed(self) -> set[str]:
        """Names of batch norm's parameters."""
        norms = [(name, module) for name, module in self.network.named_modules() if isinstance(module, nn.BatchNorm2d)]
        return {f"{name}.{own}" for name, module in norms for own, _ in module.named_parameters(recurse=False)}


def outer_loss(loop: InnerLoop, images: Tensor, masks: Tensor, shots: int, steps: int) -> Tensor:
    """First-order MAML as a loss: its gradient is minus the tasks' mean update, its value their mean loss at the end.

    Each task starts from the network's weights: ``steps - 1`` steps on its first ``shots`` images, then one on the
    others, as they are. That last step's change of the weights is the task's update. An optimiser that follows the
    gradient as it is (SGD without momentum) therefore adds its rate times the mean update.
    Batch norm's statistics belong to no task: every step moves the network's own.

    Args:
        images: uint8 ``BxNx3xSxS``, N images of each of B tasks.
        masks: bool ``BxNx1xSxS``.
    """
    own = dict(loop.network.named_parameters())
    updates = {name: torch.zeros_like(value) for name, value in own.items()}
    losses = []
    for task, target in zip(images, masks, strict=True):
        weights = loop.run(loop.begin(), {}, task[:shots], target[:shots], steps - 1)
        last, loss = loop.step(weights, {}, task[shots:], target[shots:])
        losses.append(loss)
        for name, update in updates.items():
            update += (last[name] - weights[name]).detach() / len(images)
    follow = -torch.stack([(own[name] * update).sum() for name, update in updates.items()]).sum()
    return torch.stack(losses).mean() + follow - follow.detach()
