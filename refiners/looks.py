"""How a map looks, without a label: numbers of one scale for every size, for what learns from few images."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

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
"""Of the numbers that `of_map` returns, in order."""

OF_THE_IMAGE = ("brightness", "spread", "texture")
"""Of the numbers that `Scene.numbers` returns, in order."""


class Scene(NamedTuple):
    """An image brought down to `SIDE`, with what is asked of it more than once.

    Attributes:
        image: uint8 ``(h, w, 3)``.
        grey: float64 ``(h, w)``, 0..255.
        steepness: float64 ``(h, w)``, length of the gradient of ``grey``.
    """

    image: Image
    grey: NDArray[np.float64]
    steepness: NDArray[np.float64]

    @classmethod
    def of(cls, image: Image) -> Scene:
        """Of a uint8 ``(H, W, 3)`` image."""
        scale = min(1.0, SIDE / max(image.shape[:2]))
        small = resize(image, *(max(1, round(side * scale)) for side in image.shape[:2]))
        grey = small.mean(axis=2)
        slopes = [np.gradient(grey, axis=axis) if grey.shape[axis] > 1 else 0 * grey for axis in (0, 1)]
        return cls(small, grey, np.hypot(*slopes))

    def seen(self, probs: ProbabilityMap) -> ProbabilityMap:
        """A map of the image, float32 ``(H, W)`` in [0, 1], at the scene's size."""
        return np.clip(resize(probs, *self.grey.shape), 0, 1)

    def numbers(self) -> list[float]:
        """`OF_THE_IMAGE`: mean and standard deviation of the grey values, and mean gradient; in units of 255."""
        return [float(value) / 255 for value in (self.grey.mean(), self.grey.std(), self.steepness.mean())]


def overlap(one: Mask, other: Mask) -> float:
    """IoU of two masks; both empty is 1."""
    either = int((one | other).sum())
    return int((one & other).sum()) / either if either else 1.0


def expected_iou(mask: Mask, probs: ProbabilityMap) -> float:
    """IoU of a mask with a truth that is drawn from ``probs``, pixel by pixel: ratio of expectations; 1 for 0/0."""
    either = np.where(mask, 1, probs).sum(dtype=np.float64)
    return float(probs[mask].sum(dtype=np.float64) / either) if either > 0 else 1.0


def of_map(probs: ProbabilityMap, scene: Scene) -> list[float]:
    """`OF_A_MAP`, all finite.

    Mean; share of foreground; mean doubt (1 at one half, 0 at certainty), and that inside the mask; expected IoU of
    the mask under the map's own probabilities (`expected_iou`); connected parts (log1p), and the largest one's share;
    area over the squared length of the contour, 1 for a disc; share of the border that is foreground; difference in
    mean colour between the mask and the rest; mean gradient of the image along the contour, over that of all of it.

    Args:
        probs: float32 ``(h, w)``, as `Scene.seen` returns it.
        scene: of the map's image.
    """
    mask = probs >= DECISION
    doubt = 1 - np.abs(2 * probs - 1)
    area = int(mask.sum())
    codes = mask.astype(np.uint8)
    parts, _, sizes, _ = cv2.connectedComponentsWithStats(codes)
    contour = mask & ~cv2.erode(codes, np.ones((3, 3), np.uint8), borderValue=0).astype(bool)
    length = int(contour.sum())
    rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    image, steepness = scene.image, scene.steepness
    inside, outside = (image[part].mean(axis=0) if part.any() else image.mean(axis=(0, 1)) for part in (mask, ~mask))
    return [
        float(probs.mean()),
        area / mask.size,
        float(doubt.mean()),
        float(doubt[mask].mean()) if area else 0.0,
        expected_iou(mask, probs),
        float(np.log1p(parts - 1)),
        float(sizes[1:, cv2.CC_STAT_AREA].max()) / area if area else 0.0,
        4 * np.pi * area / length**2 if length else 0.0,
        float(rim.mean()),
        float(np.abs(inside - outside).mean() / 255),
        float(steepness[contour].mean() / max(steepness.mean(), 1e-6)) if length else 0.0,
    ]
