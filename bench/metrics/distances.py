"""How far two contours are apart, in pixels: the 95 % Hausdorff distance and the average surface distance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np

from bench.contracts import Mask, Metric, ProbabilityMap
from bench.metrics.arguments import Prediction, binarised

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Distances = NDArray[np.float64]


def hd95(pred: Prediction, mask: Mask) -> float:
    """The larger of the two directed 95 % Hausdorff distances, in pixels: MONAI's definition.

    For each contour pixel of one mask the Euclidean distance to the nearest contour pixel of the other; of each of the
    two directions the 95th percentile (linear between ranks), of these the larger. MedPy takes the percentile of both
    directions in one heap, which is another number. A contour pixel is a foreground pixel with background above, below,
    left or right of it; all outside the image is background.

    Empty masks: both empty is 0; one empty is NaN, as no number of pixels stands for a missing object.

    Args:
        pred: ``(H, W)`` bool, or a float map in [0, 1], binarised at ``>= 0.5``.
        mask: ``(H, W)`` bool, the ground truth.

    Returns:
        Pixels, 0 is best; or NaN.

    Raises:
        ValueError: shapes differ, a dtype is ambiguous, or the map has NaN or leaves [0, 1].

    Example:
        >>> import numpy as np
        >>> from bench.metrics import hd95
        >>> mask = np.array([[True, False, False, False]])
        >>> hd95(np.array([[False, False, False, True]]), mask)
        3.0
        >>> hd95(np.zeros((1, 4), dtype=bool), mask)
        nan
    """
    return _between(pred, mask, lambda found, truth: float(max(np.percentile(found, 95), np.percentile(truth, 95))))


def assd(pred: Prediction, mask: Mask) -> float:
    """The average symmetric surface distance, in pixels: the mean over the contour pixels of both masks.

    Heimann et al., IEEE TMI 2009: the distances of both directions, as `hd95` takes them, summed and divided by the
    number of contour pixels of both. MONAI's with ``symmetric=True``.

    Empty masks: as `hd95`.

    Args:
        pred: ``(H, W)`` bool, or a float map in [0, 1], binarised at ``>= 0.5``.
        mask: ``(H, W)`` bool, the ground truth.

    Returns:
        Pixels, 0 is best; or NaN.

    Raises:
        ValueError: shapes differ, a dtype is ambiguous, or the map has NaN or leaves [0, 1].

    Example:
        >>> import numpy as np
        >>> from bench.metrics import assd
        >>> assd(np.array([[True, False, False, True]]), np.array([[True, False, False, False]]))
        1.0
    """
    return _between(pred, mask, lambda found, truth: float(np.concatenate([found, truth]).mean()))


class Hd95(Metric):
    """95 % Hausdorff distance between the contours, as MONAI computes it."""

    title = "HD95"
    meaning = "the larger of the two directed 95th percentiles of the contours' distances, in pixels"
    better: Literal["higher", "lower"] = "lower"
    scale, digits = 1.0, 2

    def __call__(self, probs: ProbabilityMap, mask: Mask) -> float:
        return hd95(probs, mask)


class Assd(Metric):
    """Average symmetric surface distance between the contours."""

    title = "ASSD"
    meaning = "mean distance of both contours' pixels to the other contour, in pixels"
    better: Literal["higher", "lower"] = "lower"
    scale, digits = 1.0, 2

    def __call__(self, probs: ProbabilityMap, mask: Mask) -> float:
        return assd(probs, mask)


def _between(pred: Prediction, mask: Mask, summary: Callable[[Distances, Distances], float]) -> float:
    """The summary of the distances of each contour pixel of the prediction, and of each of the ground truth, to the
    other contour; 0 where both are empty, NaN where one is."""
    found, truth = (np.argwhere(_contour(one)) for one in (binarised(pred, mask), mask))
    if not len(found) or not len(truth):
        return 0.0 if len(found) == len(truth) else math.nan
    from scipy.spatial import KDTree  # late: the command line reads the table of metrics, and must not wait for it

    return summary(KDTree(truth).query(found)[0], KDTree(found).query(truth)[0])


def _contour(mask: Mask) -> Mask:
    padded = np.pad(mask, 1)
    core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.asarray(mask & ~core)
