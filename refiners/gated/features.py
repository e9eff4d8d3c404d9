"""What a gate sees of an image, the base's map and the refined one: no label, numbers of one scale for every size."""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.contracts import DECISION, Image, Mask, ProbabilityMap
from bench.images import resize

Features: TypeAlias = NDArray[np.float64]

SIDE = 256
"""Longer side that image and maps are brought down to: what is measured then depends little on the camera."""

OF_A_MAP = (
    "mean",
    "area",
    "doubt",
    "doubt inside",
    "own IoU",
    "components",
    "largest",
    "roundness",
    "at the border",
    "contrast",
    "edge",
)
OF_BOTH = ("agreement", "added", "removed", "gain if refined", "gain if base", "distance")
OF_THE_IMAGE = ("brightness", "spread", "texture")

NAMES = (*OF_BOTH, *(f"base {name}" for name in OF_A_MAP), *(f"refined {name}" for name in OF_A_MAP), *OF_THE_IMAGE)
"""Of the numbers that `features` returns, in order."""


def features(image: Image, base: ProbabilityMap, refined: ProbabilityMap) -> Features:
    """`NAMES`, float64 ``(28,)``, all finite.

    Of both maps: IoU of the two masks; pixels added and removed, in shares of the base's mask; IoU that the refined
    mask would gain over the base's where the truth were drawn from the refined map's probabilities, and from the
    base's (`expected_iou`); mean absolute difference.

    Of each map: mean; share of foreground; mean doubt (1 at one half, 0 at certainty), and that inside its mask;
    expected IoU of its mask under its own probabilities; connected parts, and the largest one's share; area over the
    squared perimeter, 1 for a disc; share of the image's border that is foreground; difference in mean colour between
    its mask and the rest; mean gradient of the image along its contour, over that of the whole image.

    Of the image: mean and standard deviation of its grey values, and mean gradient.

    Args:
        image: uint8 ``(H, W, 3)``.
        base, refined: float32 ``(H, W)`` in [0, 1].
    """
    scale = min(1.0, SIDE / max(base.shape))
    height, width = (max(1, round(side * scale)) for side in base.shape)
    image = resize(image, height, width)
    base = np.clip(resize(base, height, width), 0, 1)
    refined = np.clip(resize(refined, height, width), 0, 1)
    before, after = base >= DECISION, refined >= DECISION
    grey = image.mean(axis=2)
    steepness = np.hypot(*(np.gradient(grey, axis=axis) if grey.shape[axis] > 1 else 0 * grey for axis in (0, 1)))
    least = max(1, int(before.sum()))
    both = [
        overlap(before, after),
        int((after & ~before).sum()) / least,
        int((before & ~after).sum()) / least,
        expected_iou(after, refined) - expected_iou(before, refined),
        expected_iou(after, base) - expected_iou(before, base),
        float(np.abs(refined - base).mean()),
    ]
    each = [_of_map(probs, mask, image, steepness) for probs, mask in ((base, before), (refined, after))]
    # A ratio of areas can be anything: on a logarithmic scale trees and distances can both use it.
    both[1:3] = np.log1p(both[1:3]).tolist()
    return np.array([*both, *each[0], *each[1], grey.mean() / 255, grey.std() / 255, steepness.mean() / 255])


def overlap(one: Mask, other: Mask) -> float:
    """IoU of two masks; both empty is 1."""
    either = int((one | other).sum())
    return int((one & other).sum()) / either if either else 1.0


def expected_iou(mask: Mask, probs: ProbabilityMap) -> float:
    """IoU of a mask with a truth that is drawn from ``probs``, pixel by pixel: ratio of expectations; 1 for 0/0."""
    either = np.where(mask, 1, probs).sum(dtype=np.float64)
    return float(probs[mask].sum(dtype=np.float64) / either) if either > 0 else 1.0


def _of_map(probs: ProbabilityMap, mask: Mask, image: Image, steepness: NDArray[np.float64]) -> list[float]:
    doubt = 1 - np.abs(2 * probs - 1)
    area = np.count_nonzero(mask)
    codes = mask.astype(np.uint8)
    parts, _, sizes, _ = cv2.connectedComponentsWithStats(codes)
    contour = mask & ~cv2.erode(codes, np.ones((3, 3), np.uint8), borderValue=0).astype(bool)
    length = np.count_nonzero(contour)
    rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    inside, outside = (image[part].mean(axis=0) if part.any() else image.mean(axis=(0, 1)) for part in (mask, ~mask))
    return [
        probs.mean(),
        area / mask.size,
        doubt.mean(),
        doubt[mask].mean() if area else 0.0,
        expected_iou(mask, probs),
        float(np.log1p(parts - 1)),
        sizes[1:, cv2.CC_STAT_AREA].max() / area if area else 0.0,
        4 * np.pi * area / length**2 if length else 0.0,
        rim.mean(),
        float(np.abs(inside - outside).mean() / 255),
        float(steepness[contour].mean() / max(steepness.mean(), 1e-6)) if length else 0.0,
    ]
