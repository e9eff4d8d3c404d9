"""Fully connected CRF (Kraehenbuehl and Koltun, NeurIPS 2011)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from bench.contracts import Budget, Image, ProbabilityMap, Refiner, SearchSpace, Span, UserError

EPSILON = 1e-6
"""Probabilities are kept this far from 0 and 1, so that the unary energy is finite."""


class DenseCrf(Refiner):
    """DenseCRF by pydensecrf: mean-field inference with a Gaussian and a bilateral pairwise kernel.

    Defaults are those of DeepLab (Chen et al. 2018, cross-validated on PASCAL VOC). The settings of pydensecrf's own
    example (5, 3, 3, 80, 13, 10) smooth far more: on val maps of ECSSD, Kvasir-SEG and quickstart they ended 6, 8
    and 26 points of mIoU lower.

    ``search_space`` spans both, and what DeepLab searched on PASCAL VOC (section 4.1): bilateral_compat 3 to 6,
    bilateral_sxy 30 to 100 and bilateral_srgb 3 to 6 with 10 iterations; its first version (ICLR 2015) went up to
    compat 10 and srgb 10. Kraehenbuehl and Koltun's own smoothness kernel is gaussian_sxy=1, gaussian_compat=1.

    Args:
        iterations: of mean field.
        gaussian_sxy: standard deviation of the smoothness kernel, pixels.
        gaussian_compat: its weight.
        bilateral_sxy: spatial standard deviation of the appearance kernel, pixels.
        bilateral_srgb: its standard deviation in colour, 0..255.
        bilateral_compat: its weight.
        temperature: the unary energies are divided by it: above 1 the image has more of a say, below 1 the map.

    Raises:
        UserError: a parameter is not above 0; the two weights may be 0.
    """

    requires = ("pydensecrf",)
    extra = "densecrf"
    search_space: ClassVar[SearchSpace] = {
        "iterations": Span(1, 10),
        "gaussian_sxy": Span(0.5, 5.0, log=True),
        "gaussian_compat": Span(0.3, 10.0, log=True),
        "bilateral_sxy": Span(10.0, 160.0, log=True),
        "bilateral_srgb": Span(2.0, 20.0, log=True),
        "bilateral_compat": Span(0.5, 15.0, log=True),
        "temperature": Span(0.25, 4.0, log=True),
    }
    # An image of noise, which fills the filter's lattice most; photographs took a third of both.
    cost = Budget(seconds=7.0, memory_mb=400.0)

    def __init__(
        self,
        *,
        iterations: int = 10,
        gaussian_sxy: float = 1.0,
        gaussian_compat: float = 3.0,
        bilateral_sxy: float = 67.0,
        bilateral_srgb: float = 3.0,
        bilateral_compat: float = 4.0,
        temperature: float = 1.0,
    ) -> None:
        _check_positive(iterations=iterations, gaussian_sxy=gaussian_sxy, bilateral_sxy=bilateral_sxy)
        _check_positive(bilateral_srgb=bilateral_srgb, temperature=temperature)
        _check_positive(or_zero=True, gaussian_compat=gaussian_compat, bilateral_compat=bilateral_compat)
        self.iterations, self.temperature = iterations, temperature
        self.gaussian = {"sxy": gaussian_sxy, "compat": gaussian_compat}
        self.bilateral = {"sxy": bilateral_sxy, "srgb": bilateral_srgb, "compat": bilateral_compat}

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """See `bench.contracts.Refiner`."""
        return [self._refine(image, probs) for image, probs in zip(images, maps, strict=True)]

    def _refine(self, image: Image, probs: ProbabilityMap) -> ProbabilityMap:
        from pydensecrf.densecrf import DenseCRF2D

        height, width = probs.shape
        foreground = np.clip(probs, EPSILON, 1 - EPSILON)
        unary = -np.log(np.stack([1 - foreground, foreground])).reshape(2, -1)
        field = DenseCRF2D(width, height, 2)
        field.setUnaryEnergy(np.ascontiguousarray(unary / self.temperature, np.float32))
        field.addPairwiseGaussian(**self.gaussian)
        field.addPairwiseBilateral(**self.bilateral, rgbim=np.array(image, order="C"))  # it wants a writable buffer
        inferred = np.array(field.inference(self.iterations), np.float32)
        return np.clip(inferred[1].reshape(height, width), 0, 1)


def _check_positive(*, or_zero: bool = False, **parameters: float) -> None:
    for name, value in parameters.items():
        if not (0 < value < math.inf or (or_zero and value == 0)):
            least = "of at least 0" if or_zero else "above 0"
            raise UserError(f"{name} is {value}", f"densecrf[{name}={value}]", f"use a number {least}")
