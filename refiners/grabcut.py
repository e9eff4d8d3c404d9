"""GrabCut (Rother, Kolmogorov and Blake, SIGGRAPH 2004), seeded from the map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import cv2
import numpy as np

from bench.contracts import DECISION, Budget, Image, ProbabilityMap, Refiner, SearchSpace, Span, UserError

COMPONENTS = 13 * 5
"""Numbers in OpenCV's colour model of one side: five Gaussians of a weight, a mean and a covariance."""


class GrabCut(Refiner):
    """GrabCut by OpenCV: colour models of both sides and a graph cut, in turn; a map of zeros and ones.

    Where the map is sure, it is final; elsewhere it only says with which side a pixel begins. Colours are compared in
    RGB (the method has no preferred order of channels). Gamma, the weight of smoothness, is 50 in OpenCV as in the
    paper. A map that is all foreground or all background gives no colours of the other side: it is binarised.

    Args:
        iterations: of estimating colours and cutting.
        sure_fg: from this probability on a pixel is and stays foreground; above 1, none is.
        sure_bg: up to this probability a pixel is and stays background; below 0, none is.

    Raises:
        UserError: iterations under 1, or not sure_bg < 0.5 < sure_fg.
    """

    search_space: ClassVar[SearchSpace] = {
        "iterations": Span(1, 10),
        "sure_fg": Span(0.6, 1.0),
        "sure_bg": Span(0.0, 0.4),
    }
    cost = Budget(seconds=10.0, memory_mb=120)

    def __init__(self, *, iterations: int = 5, sure_fg: float = 0.9, sure_bg: float = 0.1) -> None:
        if iterations < 1:
            raise UserError(f"{iterations} iterations", f"grabcut[iterations={iterations}]", "use 1 or more")
        if not sure_bg < DECISION < sure_fg:
            where = f"grabcut[sure_fg={sure_fg},sure_bg={sure_bg}]"
            raise UserError("what is sure would cross the decision", where, "keep sure_bg < 0.5 < sure_fg")
        self.iterations, self.sure_fg, self.sure_bg = iterations, sure_fg, sure_bg

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """See `bench.contracts.Refiner`. The maps hold 0 and 1 alone."""
        return [self._refine(image, probs) for image, probs in zip(images, maps, strict=True)]

    def _refine(self, image: Image, probs: ProbabilityMap) -> ProbabilityMap:
        foreground = probs >= DECISION
        if foreground.all() or not foreground.any():
            return foreground.astype(np.float32)
        labels = np.full(probs.shape, cv2.GC_PR_BGD, np.uint8)
        labels[foreground] = cv2.GC_PR_FGD
        labels[probs >= self.sure_fg] = cv2.GC_FGD
        labels[probs <= self.sure_bg] = cv2.GC_BGD
        background_model, foreground_model = np.zeros((2, 1, COMPONENTS))
        cv2.setRNGSeed(0)  # it clusters colours from random centres
        cv2.grabCut(
            np.ascontiguousarray(image),
            labels,
            None,
            background_model,
            foreground_model,
            self.iterations,
            cv2.GC_INIT_WITH_MASK,
        )
        return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
