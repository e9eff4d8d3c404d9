"""Morphological cleaning of the mask: specks, gaps, small parts and holes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import cv2
import numpy as np

from bench.contracts import DECISION, Budget, Image, Mask, ProbabilityMap, Refiner, SearchSpace, Span, UserError


class Morphology(Refiner):
    """Opens and closes the mask with OpenCV's ellipse, fills its holes and drops its small parts, in this order.

    A pixel whose side stays keeps its probability; one that changes side gets 1 - p, the same confidence on the
    other side. The image is not looked at. (Serra 1982. There is no common setting; the defaults are mild.)

    Args:
        open: radius of the opening, pixels; it removes what is no wider than twice that. 0 leaves it out.
        close: radius of the closing, pixels; it bridges gaps no wider than twice that. 0 leaves it out.
        min_area: parts (8-connected) smaller than this fraction of the image become background.
        fill_holes: background that is walled in (4-connected, apart from the image's border) becomes foreground.

    Raises:
        UserError: a negative radius, or a min_area outside [0, 1].
    """

    search_space: ClassVar[SearchSpace] = {
        "open": Span(0, 15),
        "close": Span(0, 15),
        "min_area": Span(1e-5, 3e-2, log=True),
        "fill_holes": (True, False),
    }
    cost = Budget(seconds=0.05, memory_mb=30)

    def __init__(self, *, open: int = 2, close: int = 2, min_area: float = 1e-3, fill_holes: bool = True) -> None:
        for name, radius in (("open", open), ("close", close)):
            if radius < 0:
                raise UserError(f"a radius of {radius} px", f"morphology[{name}={radius}]", "use 0 or more")
        if not 0 <= min_area <= 1:
            where = f"morphology[min_area={min_area}]"
            raise UserError(f"{min_area} of an image", where, "use a fraction in 0..1, e.g. 0.001")
        self.open, self.close, self.min_area, self.fill_holes = open, close, min_area, fill_holes

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """See `bench.contracts.Refiner`."""
        return [self._refine(probs) for _, probs in zip(images, maps, strict=True)]

    def _refine(self, probs: ProbabilityMap) -> ProbabilityMap:
        mask = probs >= DECISION
        cleaned = self._clean(mask)
        flipped = 1 - probs
        # A probability of exactly one half is its own mirror image: keep it below.
        dropped = np.minimum(flipped, np.nextafter(np.float32(DECISION), np.float32(0)))
        return np.where(cleaned == mask, probs, np.where(cleaned, flipped, dropped)).astype(np.float32)

    def _clean(self, mask: Mask) -> Mask:
        cleaned = mask.astype(np.uint8)
        for radius, operation in ((self.open, cv2.MORPH_OPEN), (self.close, cv2.MORPH_CLOSE)):
            if radius:
                disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
                cleaned = cv2.morphologyEx(cleaned, operation, disk)
        if self.fill_holes:
            cleaned = _without_holes(cleaned)
        return _without_small_parts(cleaned, self.min_area * mask.size)


def _without_holes(mask: np.ndarray) -> np.ndarray:
    """uint8 ``(H, W)`` of 0 and 1, with all background set that does not reach the border."""
    _, parts = cv2.connectedComponents(1 - mask, connectivity=4)
    border = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    return np.where(np.isin(parts, border), mask, 1).astype(np.uint8)


def _without_small_parts(mask: np.ndarray, pixels: float) -> Mask:
    """bool ``(H, W)``: the parts of a mask of 0 and 1 that have at least so many pixels."""
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    kept = statistics[:, cv2.CC_STAT_AREA] >= pixels
    kept[0] = False  # the background
    return kept[parts]
