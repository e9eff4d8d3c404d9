"""Pairs of image and mask at a network's size: stored for a training, changed when drawn, scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.bases.parts.framing import Framing, Interpolation, framed, framed_mask
from bench.contracts import DECISION, Dataset
from bench.runtime.ahead import in_order
from bench.training import Augment, TrainingArrays, ious
from bench.training.augment import Turn, cropped, jointly
from bench.training.inference import Model, in_batches


def stored(split: Dataset, folder: Path, side: int, framing: Framing, interpolation: Interpolation) -> TrainingArrays:
    """The split's pairs, a row each: ``image`` uint8 ``3xSxS`` and ``mask`` bool ``1xSxS``."""
    fields: dict[str, Any] = {"image": ((3, side, side), np.uint8), "mask": ((1, side, side), np.bool_)}

    samples = in_order(split)

    def fill(index: int) -> dict[str, np.ndarray]:
        sample = next(samples)
        image, mask = framed(sample.image, side, framing, interpolation), framed_mask(sample.mask, side, framing)
        return {"image": image.transpose(2, 0, 1), "mask": mask[None]}

    return TrainingArrays.build(folder, len(split), fields, fill, f"{split.split} images at {side} px")


def changed(transform: Any | None, crop: int) -> Augment:
    """What happens to a pair when it is drawn.

    Args:
        transform: a torchvision v2 transform of ``image`` and ``mask``, or None.
        crop: side of the random crop that follows; 0 for none.
    """
    if isinstance(transform, Turn) and not crop:
        return "turns"
    whole = cropped(transform, crop)
    return jointly(whole) if whole is not None else "none"


def mean_iou(model: Model, pairs: TrainingArrays, batch: int, device: str) -> float:
    """Mean IoU of stored pairs."""
    found = [
        ious(
            in_batches(model, rows["image"].to(device), batch) >= DECISION,
            rows["mask"].to(device),
        ).cpu()
        for rows in pairs.batches(batch)
    ]
    return float(torch.cat(found).mean())
