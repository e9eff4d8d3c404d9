"""One global threshold, tuned on val: what any refiner that only recalibrates can reach."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.contracts import DECISION, Budget, Image, MapDataset, ProbabilityMap, Refiner
from bench.images import to_uint16
from bench.runtime.files import replacing
from bench.runtime.progress import track

LEVELS = 65536


class Threshold(Refiner):
    """The threshold with the highest mean IoU over the val images, applied as a monotone remap of the map.

    All 65,535 thresholds of a 16-bit map are tried; of several that are best, the one nearest one half is taken.
    The remap is linear on both sides of the threshold and sends it to one half, so that one half stays the decision.
    """

    trainable = True
    cost = Budget(seconds=0.05, memory_mb=30)

    def __init__(self) -> None:
        self.threshold = DECISION

    def fit(self, val: MapDataset, workdir: Path) -> None:
        """See `bench.contracts.Refiner`. Leaves ``threshold.json`` with the threshold and its IoU on val."""
        file = workdir / "threshold.json"
        if file.is_file():
            self.threshold = json.loads(file.read_text())["threshold"]
            return
        total = np.zeros(LEVELS)
        for index in track(range(len(val)), "fit threshold"):
            sample, probs = val[index]
            total += iou_by_threshold(to_uint16(probs), sample.mask)
        self.threshold = best_threshold(total)
        with replacing(file) as path:
            path.write_text(json.dumps({"threshold": self.threshold, "val_miou": total[1:].max() / len(val)}))

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """See `bench.contracts.Refiner`."""
        return [remap(probs, self.threshold) for probs in maps]


def remap(probs: ProbabilityMap, threshold: float) -> ProbabilityMap:
    """Piecewise linear map of [0, 1] onto itself with ``threshold`` sent to one half.

    A pixel is ``>= 0.5`` in the result exactly where it is ``>= threshold`` in ``probs``.

    Args:
        probs: float32 ``(H, W)`` in [0, 1].
        threshold: in (0, 1).

    Returns:
        float32 ``(H, W)`` in [0, 1].
    """
    values = probs.astype(np.float64)
    below, above = DECISION * values / threshold, DECISION + (1 - DECISION) * (values - threshold) / (1 - threshold)
    # Just under the threshold, rounding to float32 may reach one half: hold it back.
    just_under = np.nextafter(np.float32(DECISION), np.float32(0))
    remapped = np.where(values >= threshold, above, np.minimum(below, just_under))
    return remapped.astype(np.float32)


def best_threshold(total: np.ndarray) -> float:
    """The threshold in (0, 1) with the highest sum of IoUs; of several, the one nearest one half.

    Args:
        total: float64 ``(LEVELS,)``, the sum of `iou_by_threshold` over images.
    """
    best = np.flatnonzero(total[1:] >= total[1:].max() - 1e-9) + 1
    code = int(best[np.abs(best - (LEVELS - 1) / 2).argmin()])
    # Half a step below the code, so that rounding a map cannot move a pixel across.
    return (code - 0.5) / (LEVELS - 1)


def iou_by_threshold(codes: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """IoU of ``codes >= k`` with the mask, for k = 0..LEVELS - 1, float64; both empty is 1.

    Args:
        codes: uint16 ``(H, W)``, a map times LEVELS - 1.
        mask: bool ``(H, W)``.
    """
    inside = np.bincount(codes[mask], minlength=LEVELS)[::-1].cumsum()[::-1]
    predicted = np.bincount(codes.ravel(), minlength=LEVELS)[::-1].cumsum()[::-1]
    union = predicted + np.count_nonzero(mask) - inside
    return np.where(union > 0, inside / np.maximum(union, 1), 1.0)
