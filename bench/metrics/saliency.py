"""What papers on salient objects print, as PySODMetrics computes it; ``bench run --metric max-f s-measure``.

The map is taken as it is, or with ``normalise=true`` min-max stretched first, as that toolbox does by default.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Curve, Mask, Metric, ProbabilityMap, Summary
from bench.metrics.arguments import checked
from bench.metrics.error import mae

THRESHOLDS = 256
"""Position k of a curve is of the map binarised at ``>= k / 255``."""

BETA_SQUARED = 0.3
"""Of the F-measures that compare a binarised map; the weighted one has 1."""


def stretched(probs: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The map ``(H, W)`` stretched to [0, 1], ``(p - min) / (max - min)``; a constant one as it is.

    Example:
        >>> import numpy as np
        >>> from bench.metrics.saliency import stretched
        >>> stretched(np.array([[0.25, 0.5, 0.75]])).tolist(), stretched(np.array([[0.25]])).tolist()
        ([[0.0, 0.5, 1.0]], [[0.25]])
    """
    levels = as_stored(probs)
    low, high = levels.min(), levels.max()
    return levels if low == high else (levels - low) / (high - low)


def as_stored(probs: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The map in float64, with those values exact that float32 rounded from an 8-bit or 16-bit level.

    The toolbox reads levels v and computes v / 255 in float64. After a stretch, single precision would put some of them
    on the other side of a threshold.
    """
    exact = probs.astype(np.float64)
    levels = np.rint(exact * 65535) / 65535  # v / 255 is 257 v / 65535
    return np.where(levels.astype(probs.dtype) == probs, levels, exact)


class Saliency(Metric):
    """What the measures of this module share."""

    requires: tuple[str, ...] = ("py_sod_metrics",)
    extra = "metrics"
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
        return self.measured(stretched(probs) if self.normalise else as_stored(probs), mask)

    @abstractmethod
    def measured(self, pred: NDArray[np.float64], mask: Mask) -> float | Curve:
        """The value of a map in [0, 1]."""
        ...


class MaxF(Saliency):
    """Maximum F-measure: the best of 256 thresholds, one for all images."""

    title = "max F"
    meaning = f"F-measure, beta^2 = {BETA_SQUARED}, at each of {THRESHOLDS} thresholds"
    curve = THRESHOLDS
    summary: Summary = "max"

    def measured(self, pred: NDArray[np.float64], mask: Mask) -> Curve:
        return _ascending(_f_measures(pred, mask)["dynamic"])


class MeanF(MaxF):
    """Mean F-measure over 256 thresholds."""

    title = "mean F"
    summary: Summary = "mean"


class AdaptiveF(Saliency):
    """F-measure at twice the map's mean."""

    title = "adaptive F"
    meaning = f"F-measure, beta^2 = {BETA_SQUARED}, at twice the map's mean, at most 1; mean over images"

    def measured(self, pred: NDArray[np.float64], mask: Mask) -> float:
        return float(_f_measures(pred, mask)["adaptive"])


class WeightedF(Saliency):
    """Weighted F-measure of Margolin et al. 2014."""

    title = "weighted F"
    meaning = "weighted F-measure (Margolin et al. 2014), beta^2 = 1; mean over images"

    def measured(self, pred: NDArray[np.float64], mask: Mask) -> float:
        from py_sod_metrics import WeightedFmeasure

        measure = WeightedFmeasure(beta=1)
        measure.step(pred, mask, normalize=False)
        return float(measure.get_results()["wfm"])


class SMeasure(Saliency):
    """Structure-measure of Fan et al. 2017."""

    title = "S-measure"
    meaning = "structure-measure (Fan et al. 2017), alpha = 0.5; mean over images"

    def measured(self, pred: NDArray[np.float64], mask: Mask) -> float:
        from py_sod_metrics import Smeasure

        class Whole(Smeasure):
            """Where the centre of the object lies in the last row or column, two of the four parts have no pixels.

            They weigh nothing, but the toolbox's value is NaN then.
            """

            def ssim(self, pred: NDArray[np.float64], gt: Mask) -> float:
                return float(super().ssim(pred, gt)) if gt.size else 0.0

        measure = Whole(alpha=0.5)
        measure.step(pred, mask, normalize=False)
        return float(measure.get_results()["sm"])


class MaxE(Saliency):
    """Maximum E-measure of Fan et al. 2018: the best of 256 thresholds, one for all images."""

    title = "max E"
    meaning = f"enhanced-alignment measure (Fan et al. 2018) at each of {THRESHOLDS} thresholds"
    curve = THRESHOLDS
    summary: Summary = "max"

    def measured(self, pred: NDArray[np.float64], mask: Mask) -> Curve:
        from py_sod_metrics import Emeasure

        if mask.size == 1:  # it divides by the number of pixels less one
            return np.full(THRESHOLDS, math.nan)
        measure = Emeasure()
        measure.step(pred, mask, normalize=False)
        return _ascending(measure.get_results()["em"]["curve"])


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

    def __call__(self, probs: ProbabilityMap, mask: Mask) -> float:
        checked(probs, mask)
        return mae(stretched(probs), mask)


def _f_measures(pred: NDArray[np.float64], mask: Mask) -> dict[str, Any]:
    from py_sod_metrics import FmeasureHandler, FmeasureV2

    measure = FmeasureV2({"f": FmeasureHandler(with_dynamic=True, with_adaptive=True, beta=BETA_SQUARED)})
    measure.step(pred, mask, normalize=False)
    found: dict[str, Any] = measure.get_results()["f"]
    return found


def _ascending(curve: NDArray[np.float64]) -> Curve:
    """The toolbox begins with the highest threshold."""
    return np.ascontiguousarray(curve[::-1], dtype=np.float64)
