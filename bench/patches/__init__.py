"""The patches of a map and the threshold that is best in each: what PatchRefineNet learns, and what tells its bias."""

from __future__ import annotations

from bench.patches.optimal import (
    PatchLabels,
    Probabilities,
    image_optimal,
    middle_thresholds,
    patch_optimal,
    patch_targets,
    windows,
)

__all__ = [
    "PatchLabels",
    "Probabilities",
    "image_optimal",
    "middle_thresholds",
    "patch_optimal",
    "patch_targets",
    "windows",
]
