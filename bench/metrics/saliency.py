"""What papers on salient objects print, with PySODMetrics' values; ``bench run --metric max-f s-measure``.

The map is taken as it is, or with ``normalise=true`` min-max stretched first, as that toolbox does by default.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Curve, Mask, Metric, ProbabilityMap, Summary
from bench.metrics.arguments import checked
from bench.metrics.error import mae
from bench.metrics.levels import as_stored, eight_bit_codes, stretched
from bench.metrics.structure import s_measure
from bench.metrics.thresholds import BETA_SQUARED, THRESHOLDS, enhanced_alignment, f_measure, found_from
from bench.metrics.weighted import weighted_f


class Saliency(Metric):
    """What the measures of this module share."""

    title: str
    meaning: str
    better: Literal["higher", "lower"] = "higher"
    scale, digits = 1.0, 3

    def __init__(self, *, normalise: bool = False) -> None:
        self.normalise = normalise
        if normalise:
            self.title = f"{self.title} (stretched)"
            self.meaning = f"{self.meaning}; each map min-max stretched first"

    def __call__(self, probs: ProbabilityMap, mask: Mask) -> float | Curve:
        checked(probs, mask)
        pred = stretched(probs) if self.normalise else as_stored(probs)
        return self.measured(pred, np.ascontiguousarray(mask))

    @abstractmethod
    def measured(self, pred: NDArray[np.float64], mask: Mask) -> float | Curve:
        """The value of a map in [0, 1]; both arrays are contiguous."""
        ...


class MaxF(Saliency):
    """Maximum F-measure: the best of 256 thresholds, one for all images."""

    title = "max F"
    meaning = f"F-measure, beta^2 = {BETA_SQUARED}, at each of {THRESHOLDS} thresholds"
    curve = THRESHOLDS
    summary: Summary = "max"

    def measured(self, pred: NDArray[np.float64], mask: Mask) -> Curve:
        return f_measure(*found_from(pred, mask), int(np.count_nonzero(mask)))


class MeanF(MaxF):
    """Mean F-measure over 256 thresholds."""

    title = "mean F"
    summary: Summary = "mean"


class AdaptiveF(Saliency):
    """F-measure at twice the map's mean."""

    title = "adaptive F"
    meaning = f"F-measure, beta^2 = {BETA_SQUARED}, at twice the map's mean, at most 1; mean over images"

    def measured(self, pred: NDArray[np.float64], mask: Mask) -> float:
        found = pred >= min(2 * pred.mean(), 1)
        hits, all_found, foreground = (np.array([np.count_nonzero(one)]) for one in (found & mask, found, mask))
        return float(f_measure(hits, all_found, int(foreground[0]))[0])


class WeightedF(Saliency):
    """Weighted F-measure of Margolin et al. 2014."""

    title = "weighted F"
    meaning = "weighted F-measure (Margolin et al. 2014), beta^2 = 1; mean over images"
    version = 2

    def measured(self, pred: NDArray[np.float64], mask: Mask) -> float:
        return weighted_f(pred, mask)


class SMeasure(Saliency):
    """Structure-measure of Fan et al. 2017."""

    title = "S-measure"
    meaning = "structure-measure (Fan et al. 2017), alpha = 0.5; mean over images"
    version = 2

    def measured(self, pred: NDArray[np.float64], mask: Mask) -> float:
        return s_measure(pred, mask)


class MaxE(Saliency):
    """Maximum E-measure of Fan et al. 2018: the best of 256 thresholds, one for all images."""

    title = "max E"
    meaning = f"enhanced-alignment measure (Fan et al. 2018) at each of {THRESHOLDS} thresholds"
    curve = THRESHOLDS
    summary: Summary = "max"

    def measured(self, pred: NDArray[np.float64], mask: Mask) -> Curve:
        if mask.size == 1:  # it divides by the number of pixels less one
            return np.full(THRESHOLDS, math.nan)
        return enhanced_alignment(*found_from(pred, mask), int(np.count_nonzero(mask)), mask.size)


class MeanE(MaxE):
    """Mean E-measure over 256 thresholds."""

    title = "mean E"
    summary: Summary = "mean"


class StretchedMae(Metric):
    """MAE of the map min-max stretched first: what saliency toolboxes print."""

    title = "MAE (stretched)"
    meaning = "mean absolute error of the map min-max stretched first; mean over images"
    better: Literal["higher", "lower"] = "lower"
    scale, digits = 1.0, 3
    version = 2

    def __call__(self, probs: ProbabilityMap, mask: Mask) -> float:
        checked(probs, mask)
        codes = eight_bit_codes(probs)
        return mae(stretched(probs), mask) if codes is None else _stretched_mae(codes, np.ascontiguousarray(mask))


def _stretched_mae(codes: NDArray[np.uint8], mask: Mask) -> float:
    """Of a map of 8-bit levels: in whole numbers, without a pass in float64."""
    import cv2  # late: the command line reads the table of metrics, and must not wait for it

    low, high = int(codes.min()), int(codes.max())
    if low == high:
        low, high = 0, 255
    inside, foreground = cv2.norm(codes, cv2.NORM_L1, mask.view(np.uint8)), int(np.count_nonzero(mask))
    outside = cv2.norm(codes, cv2.NORM_L1) - inside
    return ((high * foreground - inside) + (outside - low * (mask.size - foreground))) / ((high - low) * mask.size)
