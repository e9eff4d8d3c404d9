"""Train a network, or load what an earlier training left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn

from bench.runtime.allocating import all_kept
from bench.training.arrays import TrainingArrays
from bench.training.optimisers import Groups
from bench.training.recipe import Augment, Loss, Recipe
from bench.training.weights import WEIGHTS, load_finished, save_weights


def train(
    network: nn.Module,
    loss: Loss,
    data: TrainingArrays,
    recipe: Recipe,
    *,
    workdir: Path,
    device: str,
    seed: int,
    title: str,
    validate: Callable[[nn.Module], float] | None = None,
    finish: Callable[[nn.Module], None] | None = None,
    metadata: Mapping[str, str] | None = None,
    augment: Augment = "turns",
    groups: Groups | None = None,
    least: int = 1,
) -> None:
    """Train ``network`` in place; load a finished training's weights instead, or resume an unfinished one.

    Ends with the weights of the best epoch: the highest ``validate``, or without it the lowest mean training loss.
    Then ``workdir`` holds ``weights.safetensors`` and ``training.csv`` (a row an epoch); the network is on
    ``device``, in eval mode; ``data`` is removed.

    Args:
        network: with the initial weights (see `seeded`). In channels-last layout a U-Net's step on a CPU takes 0.8 of
            the time; that is the caller's choice, as oneDNN has a defect there (issue 6035: strided 1x1 convolutions
            of fewer than 16 channels).
        loss: network in train mode and a batch on ``device``, fields stacked on a new first axis -> scalar loss.
            Under ``bf16-mixed`` the network's outputs are bfloat16: go on from ``.float()``.
        data: the samples.
        recipe: epochs, rates, patience, precision.
        workdir: this training's own folder.
        device: ``"cpu"`` or ``"cuda"``.
        seed: of the order, the augmentation and dropout.
        title: names the training in progress and errors.
        validate: network in eval mode, without gradients -> the value to monitor, after every epoch.
        finish: called once with the best weights before they are saved, e.g. to re-estimate batch norm's statistics.
        metadata: written into the weights file, see `save_weights`.
        augment: what happens to a sample when it is drawn; by default one of the eight flips and quarter turns.
        groups: the parameters to train, in torch's groups; all of them by default.
        least: an epoch's last step is left out where it has fewer samples than this and is not the only one: batch
            norm finds no statistics in a pooled feature of one sample. Where that is so, a last step of one is left out
            whatever this says.

    Raises:
        UserError: the loss became NaN or infinite, the saved weights do not fit, or every step has one sample and batch
            norm finds no statistics in it.
    """
    if not load_finished(network, workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        # Late: Lightning takes seconds to import, and most processes load a finished training.
        from bench.training.loop import CHECKPOINT, fit

        # The fork keeps the caller's generators as they were.
        with torch.random.fork_rng(), all_kept():
            best = fit(network, loss, data, recipe, workdir, device, seed, title, validate, augment, groups, least)
        network.load_state_dict(best)
        network.to(device)
        if finish is not None:
            finish(network)
        save_weights(network, workdir / WEIGHTS, metadata)
        (workdir / CHECKPOINT).unlink()
    data.remove()
    network.to(device).eval()
