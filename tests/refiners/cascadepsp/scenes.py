"""Small images with masks of a kind each, and what the authors' package makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import segmentation_refinement

from bench.contracts import Image, Mask, ProbabilityMap


def scene(kind: str, rows: int, columns: int) -> tuple[Image, ProbabilityMap]:
    """A noisy image and a map of what is in it: ``oval`` (large), ``left`` (at one end) or ``roads`` (thin)."""
    drawn = np.zeros((rows, columns), np.uint8)
    if kind == "oval":
        cv2.ellipse(drawn, (columns // 3, rows // 3), (columns // 3, rows // 3), 0, 0, 360, 1, -1)
    elif kind == "left":
        cv2.ellipse(drawn, (columns // 6, rows // 2), (columns // 6, rows // 3), 0, 0, 360, 1, -1)
    else:
        cv2.line(drawn, (0, rows // 4), (columns - 1, rows // 2), 1, 2)
        cv2.line(drawn, (columns // 2, 0), (columns // 3, rows - 1), 1, 1)
    draw = np.random.default_rng([rows, columns])
    colours = np.where(drawn[..., None] > 0, [200.0, 60.0, 40.0], [90.0, 100.0, 110.0])
    image = np.clip(colours + draw.normal(0, 15, colours.shape), 0, 255).astype(np.uint8)
    probs = np.clip(drawn * 0.6 + 0.2 + draw.normal(0, 0.08, drawn.shape), 0, 1).astype(np.float32)
    image.flags.writeable = probs.flags.writeable = False
    return image, probs


def by_the_package(
    weights: Path, images: Sequence[Image], masks: Sequence[Mask], *, fast: bool, side: int
) -> list[Image]:
    """uint8 ``(H, W)`` each: the package's own ``refine``."""
    package = segmentation_refinement.Refiner("cpu", model_folder=str(weights.parent), download_and_check_model=False)
    return [
        package.refine(image.copy(), mask.astype(np.uint8) * 255, fast=fast, L=side)
        for image, mask in zip(images, masks, strict=True)
    ]
