"""Oracles: how far thresholds could go if somebody told the ground truth. They set no example, they set the bound."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.contracts import Budget, Image, Mask, Oracle, ProbabilityMap, UserError
from bench.patches import image_optimal, patch_optimal

COST = Budget(seconds=0.1, memory_mb=20)


class PatchOracle(Oracle):
    """Each patch binarised at its own best threshold: PatchRefineNet's pseudo-labels as a result.

    Each patch's IoU is the highest a threshold can reach. The image's need not be: where thresholds differ between
    patches, the whole can fall below the best single threshold (`ImageOracle`).

    Args:
        patch: side of a patch in pixels of the image itself.

    Raises:
        UserError: a side under 1.
    """

    cost = COST

    def __init__(self, *, patch: int = 64) -> None:
        if patch < 1:
            raise UserError(f"a patch of {patch}", f"oracle-patch[patch={patch}]", "use a side of 1 pixel or more")
        self.patch = patch

    def refine_knowing(
        self, images: Sequence[Image], maps: Sequence[ProbabilityMap], masks: Sequence[Mask]
    ) -> list[ProbabilityMap]:
        """See `bench.contracts.Oracle`."""
        pairs = zip(maps, masks, strict=True)
        return [patch_optimal(probs, mask, self.patch).labels.astype(np.float32) for probs, mask in pairs]


class ImageOracle(Oracle):
    """Each image binarised at its own best threshold."""

    cost = COST

    def refine_knowing(
        self, images: Sequence[Image], maps: Sequence[ProbabilityMap], masks: Sequence[Mask]
    ) -> list[ProbabilityMap]:
        """See `bench.contracts.Oracle`."""
        pairs = zip(maps, masks, strict=True)
        return [image_optimal(probs, mask).labels.astype(np.float32) for probs, mask in pairs]
