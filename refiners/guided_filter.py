"""Guided filter (He, Sun and Tang, PAMI 2013): the map as a local linear function of the image's colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import cv2
import numpy as np

from bench.contracts import Budget, Image, ProbabilityMap, Refiner, SearchSpace, Span, UserError


class GuidedFilter(Refiner):
    """Guided filter with the RGB image as its guide: in each window the map is a linear function of colour.

    Defaults are those with which the authors filter an image jointly with another of the same scene (flash and no
    flash). Their feathering of a hand-drawn mask (60, 1e-6) reaches much farther than a network's errors.
    The arithmetic is float64. OpenCV's filter inverts the covariances by cofactors in float32, which is too little
    here: at eps = 1e-6 it errs by more than 0.3 beside a strong edge, and with a guide in [0, 1] it replaces small
    determinants. From eps = 1e-2 the two agree.

    Args:
        radius: of the square window, pixels: a window has a side of 2 radius + 1, and is cut at the image's border.
        eps: ridge added to the variance of the guide, whose values are taken in [0, 1]. A region whose variance is
            far below it is averaged; one far above it keeps its edges.

    Raises:
        UserError: a radius under 1 or an eps that is not positive.
    """

    search_space: ClassVar[SearchSpace] = {"radius": Span(2, 120, log=True), "eps": Span(1e-7, 1e-1, log=True)}
    cost = Budget(seconds=1.0, memory_mb=200)

    def __init__(self, *, radius: int = 8, eps: float = 4e-4) -> None:
        if radius < 1:
            raise UserError(f"a radius of {radius} px", f"guided-filter[radius={radius}]", "use 1 or more")
        if not eps > 0:
            raise UserError(f"an eps of {eps}", f"guided-filter[eps={eps}]", "use a positive number, e.g. 4e-4")
        self.radius, self.eps = radius, eps

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """See `bench.contracts.Refiner`. What the linear function sends outside [0, 1] is clipped."""
        return [self._refine(image, probs) for image, probs in zip(images, maps, strict=True)]

    def _refine(self, image: Image, probs: ProbabilityMap) -> ProbabilityMap:
        filtered = guided_filter(image / 255.0, probs.astype(np.float64), self.radius, self.eps)
        return np.clip(filtered, 0, 1).astype(np.float32)


def guided_filter(guide: np.ndarray, target: np.ndarray, radius: int, eps: float) -> np.ndarray:
    """Filter with a colour guide: a ridge regression in each window, and the mean of all that hold a pixel.

    Args:
        guide: float64 ``(H, W, 3)``.
        target: float64 ``(H, W)``.
        radius: of the window, pixels.
        eps: ridge, in the squared unit of the guide.

    Returns:
        float64 ``(H, W)``.
    """
    height, width = target.shape
    pixels = _window_sum(np.ones((height, width)), radius)

    def mean(values: np.ndarray) -> np.ndarray:
        return _window_sum(values, radius) / pixels.reshape(height, width, *(1,) * (values.ndim - 2))

    mean_guide, mean_target = mean(guide), mean(target)
    products = (guide[..., :, None] * guide[..., None, :]).reshape(height, width, 9)
    covariance = mean(products).reshape(height, width, 3, 3) - mean_guide[..., :, None] * mean_guide[..., None, :]
    with_target = mean(guide * target[..., None]) - mean_guide * mean_target[..., None]
    slope = np.linalg.solve(covariance + eps * np.eye(3), with_target[..., None])[..., 0]
    offset = mean_target - (slope * mean_guide).sum(-1)
    return (mean(slope) * guide).sum(-1) + mean(offset)


def _window_sum(values: np.ndarray, radius: int) -> np.ndarray:
    """Sum over each pixel's window, of which what lies outside the image counts as 0; ``(H, W)`` or ``(H, W, C)``."""
    side = 2 * radius + 1
    return cv2.boxFilter(values, -1, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT)
