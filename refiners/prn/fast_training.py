"""The training of prn-fast: what its heads learn from, what they minimise, and what val says of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from bench.contracts import DECISION, Image, MapDataset
from bench.cross_fitting import one_standard_error
from bench.images import resize, resize_mask, to_uint16
from bench.refiners.prn.fast_network import CELL, FastNetwork, bounded_logits, corrected, shifted, strength_of
from bench.refiners.prn.refiner import probabilities
from bench.refiners.threshold import LEVELS, best_threshold, iou_by_threshold
from bench.runtime.progress import track
from bench.training import Batch, TrainingArrays, ious

BATCH = 8

EPOCHS, STEPS = 20, 300
"""Of a head's training, at least: on 20 val maps, 20 epochs of two steps gained 1.2 points there, 80 epochs 10.1."""

STRENGTHS = (0.25, 0.5, 0.75, 1.0)

LARGEST = float(np.finfo(np.float16).max)


def thresholds(val: MapDataset, fold: NDArray[np.int64]) -> list[float]:
    """Val's best thresholds: for each fold that of the other folds, and last that of all. See `best_threshold`."""
    totals = np.zeros((fold.max() + 1, LEVELS))
    for index in track(range(len(val)), "fit thresholds"):
        sample, probs = val[index]
        totals[fold[index]] += iou_by_threshold(to_uint16(probs), sample.mask)
    whole = totals.sum(axis=0)
    return [best_threshold(total) for total in (*(whole - totals), whole)]


def arrays(
    network: FastNetwork, val: MapDataset, side: int, pixels: Callable[[Image], Tensor], folder: Path
) -> TrainingArrays:
    """Maps, truths, and the frozen encoder's features, which are computed once and not every epoch.

    Args:
        network: in any mode; it is left in eval mode.
        val: what is learned from.
        side: of the square that all are resized to.
        pixels: a uint8 image ``(H, W, 3)`` -> ``1x3xsidexside`` as the encoder wants it, on the network's device.
        folder: scratch, see `TrainingArrays.build`.

    Returns:
        fields ``codes`` (uint16 ``(1, side, side)``, a map times 65,535), ``truth`` (bool, of that shape) and
        ``features-0`` to ``features-2`` (float16, see `FastNetwork.features`).
    """
    network.eval()

    @torch.inference_mode()
    def fill(index: int) -> dict[str, np.ndarray]:
        sample, probs = val[index]
        features = [feature[0].clamp(-LARGEST, LARGEST).half() for feature in network.features(pixels(sample.image))]
        return {
            "codes": to_uint16(np.clip(resize(probs, side, side), 0, 1))[None],
            "truth": resize_mask(sample.mask, side, side)[None],
        } | {f"features-{level}": feature.cpu().numpy() for level, feature in enumerate(features)}

    fields: dict[str, Any] = {"codes": ((1, side, side), np.uint16), "truth": ((1, side, side), np.bool_)}
    for level, channels in enumerate(network.encoder.out_channels[3:]):
        rows = side // (CELL << level)
        fields[f"features-{level}"] = ((channels, rows, rows), np.float16)
    return TrainingArrays.build(folder, len(val), fields, fill, f"features of val's images at {side} px")


def loss(head: nn.Module, batch: Batch, threshold: float) -> Tensor:
    """What a head minimises: `bce_iou` of its correction of the map, `shifted` to ``threshold``."""
    start = shifted(probabilities(batch), threshold)
    correction = head(_features(batch), start)
    return bce_iou(bounded_logits(start) + correction.float(), batch["truth"].float())


def bce_iou(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy plus 1 - soft IoU, a mean over samples. Both ``Bx1xHxW``; the truth 0 or 1.

    The soft IoU is the table's own measure, made smooth: every image counts alike, however small its object.
    """
    probs = logits.sigmoid()
    both = (probs * truth).sum((1, 2, 3))
    either = probs.sum((1, 2, 3)) + truth.sum((1, 2, 3)) - both
    return F.binary_cross_entropy_with_logits(logits, truth) + (1 - (both + 1) / (either + 1)).mean()


@torch.no_grad()
def choose(network: FastNetwork, data: TrainingArrays, fold: NDArray[np.int64], threshold: float, device: str) -> str:
    """Set the network's thresholds and strength to what val says, each image by the head that has not seen it.

    Of base, threshold and correction at its best strength, the choice is `one_standard_error`'s. That strength is one
    head's; all of them together get more, see `strength_of`: of 200 val maps of CSNet, 0.75 was best for one head, and
    for the mean of four 1, on 300 other maps.

    Args:
        network: with its heads trained, on ``device``.
        data: as `arrays` made them.
        fold: of each sample: the number of the head that has not seen it.
        threshold: val's best one.
        device: ``"cpu"`` or ``"cuda"``.

    Returns:
        what was found, in a line.
    """
    base, start, *corrections = _unseen_ious(network.eval(), data, fold, device)
    strength = int(np.mean(corrections, axis=1).argmax())
    scores = np.stack([base, start, corrections[strength]])
    chosen = one_standard_error(scores)
    together = strength_of(torch.tensor(STRENGTHS[strength]), 1, len(network.heads)).item()
    network.strength.fill_((0, 0, together)[chosen])
    if chosen < 2:
        network.thresholds.fill_((DECISION, threshold)[chosen])
    named = ("the base's map", "the threshold", f"the correction, times {together:.2g}")[chosen]
    means = [f"{100 * score.mean():.2f}" for score in scores]
    return f"val mIoU of base {means[0]}, threshold {means[1]}, correction {means[2]}; it is {named}"


def _unseen_ious(
    network: FastNetwork, data: TrainingArrays, fold: NDArray[np.int64], device: str
) -> NDArray[np.float64]:
    """IoU of each sample: of the base, of the threshold, and of the correction with each of `STRENGTHS`."""
    found: list[NDArray[np.float64]] = []
    for index in range(len(data)):
        sample = {name: field[None].to(device) for name, field in data.sample(index).items()}
        maps, truth, head = probabilities(sample), sample["truth"].bool(), int(fold[index])
        start = network.start(maps, head)
        correction = network.correction(_features(sample), [start], [head])
        options = [maps, start, *(corrected([start], strength * correction) for strength in STRENGTHS)]
        found.append(torch.cat([ious(option >= DECISION, truth) for option in options]).double().cpu().numpy())
    return np.stack(found, axis=1)


def _features(batch: Batch) -> list[Tensor]:
    layout = torch.channels_last  # as the heads' weights
    return [batch[f"features-{level}"].to(torch.float32, memory_format=layout) for level in range(3)]
