"""Thin structures, roads above all: whether what is connected stays so, which a pixel count hardly sees."""

from __future__ import annotations

from typing import Literal

import numpy as np

from bench.contracts import Mask, Metric, ProbabilityMap
from bench.metrics.arguments import Prediction, binarised


def cldice(pred: Prediction, mask: Mask) -> float:
    """Centreline Dice: how much of each mask's skeleton lies in the other mask.

    Shit et al., CVPR 2021: the harmonic mean of the share of the prediction's skeleton that lies in the ground truth
    and of the ground truth's skeleton that lies in the prediction. Skeletons are those of
    `skimage.morphology.skeletonize` (Zhang and Suen 1984).

    Empty masks: both empty is 1; one empty is 0.

    Args:
        pred: ``(H, W)`` bool, or a float map in [0, 1], binarised at ``>= 0.5``.
        mask: ``(H, W)`` bool, the ground truth.

    Returns:
        In [0, 1].

    Raises:
        ValueError: shapes differ, a dtype is ambiguous, or the map has NaN or leaves [0, 1].

    Example:
        A line with a gap of a quarter.

        >>> import numpy as np
        >>> from bench.metrics import cldice
        >>> mask = np.ones((1, 8), dtype=bool)
        >>> broken = mask.copy()
        >>> broken[0, 3:5] = False
        >>> round(cldice(broken, mask), 4)
        0.8571
    """
    found = binarised(pred, mask)
    if not found.any() or not mask.any():
        return float(found.any() == mask.any())
    precision, sensitivity = mask[skeleton(found)].mean(), found[skeleton(mask)].mean()
    both = precision + sensitivity
    return float(2 * precision * sensitivity / both) if both else 0.0


def betti_numbers(mask: Mask) -> tuple[int, int]:
    """Connected parts of the foreground, and holes in it.

    Pixels of the foreground are connected where they touch by a side or a corner (8), those of the background by a side
    (4). A hole is a part of the background that does not reach the outside of the image.

    Args:
        mask: ``(H, W)`` bool.

    Example:
        >>> import numpy as np
        >>> from bench.metrics import betti_numbers
        >>> ring = np.ones((3, 3), dtype=bool)
        >>> ring[1, 1] = False
        >>> betti_numbers(ring)
        (1, 1)
    """
    import cv2  # late: the command line reads the table of metrics, and must not wait for it

    parts, _ = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    background = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    regions, _ = cv2.connectedComponents(background, connectivity=4)
    return parts - 1, regions - 2  # without the label of what is no such pixel, and the outside


def betti_error(pred: Prediction, mask: Mask, *, betti: Literal["0", "1", "both"] = "both") -> int:
    """The difference of the `betti_numbers` of the whole image, without a sign.

    Empty masks: nothing special; an empty mask has no part and no hole.

    Args:
        pred: ``(H, W)`` bool, or a float map in [0, 1], binarised at ``>= 0.5``.
        mask: ``(H, W)`` bool, the ground truth.
        betti: ``0`` is the number of parts, ``1`` that of holes, ``both`` the sum of the two differences.

    Returns:
        0 is best.

    Raises:
        ValueError: shapes differ, a dtype is ambiguous, or the map has NaN or leaves [0, 1].

    Example:
        >>> import numpy as np
        >>> from bench.metrics import betti_error
        >>> mask = np.ones((1, 5), dtype=bool)
        >>> betti_error(np.array([[True, False, True, False, True]]), mask)
        2
    """
    parts, holes = (abs(a - b) for a, b in zip(betti_numbers(binarised(pred, mask)), betti_numbers(mask), strict=True))
    return {"0": parts, "1": holes, "both": parts + holes}[betti]


def skeleton(mask: Mask) -> Mask:
    """The skeleton ``(H, W)`` of a mask; of a foreground at least one pixel."""
    from skimage.morphology import skeletonize

    return np.asarray(skeletonize(mask.copy()), dtype=np.bool_)  # it takes no read-only array


class ClDice(Metric):
    """Centreline Dice of Shit et al. 2021."""

    requires: tuple[str, ...] = ("skimage",)
    extra = "metrics"
    title = "clDice"
    meaning = "harmonic mean of the shares of each skeleton that lie in the other mask (Shit et al. 2021)"
    better: Literal["higher", "lower"] = "higher"
    scale, digits = 100.0, 2

    def __call__(self, probs: ProbabilityMap, mask: Mask) -> float:
        return cldice(probs, mask)


class BettiError(Metric):
    """Wrong number of connected parts and of holes."""

    better: Literal["higher", "lower"] = "lower"
    scale, digits = 1.0, 2
    title = "Betti error"
    meaning = "differences in the numbers of connected parts and of holes, summed"

    def __init__(self, *, betti: Literal["0", "1", "both"] = "both") -> None:
        self.betti = betti
        if betti != "both":
            self.title = f"Betti-{betti} error"
            self.meaning = f"difference in the number of {'connected parts' if betti == '0' else 'holes'}"

    def __call__(self, probs: ProbabilityMap, mask: Mask) -> float:
        return float(betti_error(probs, mask, betti=self.betti))
