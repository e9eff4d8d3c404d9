"""What a gate sees of an image, the base's map and the refined one: no label."""

from __future__ import annotations

import numpy as np

from bench.contracts import DECISION, Image, ProbabilityMap
from bench.refiners.looks import OF_A_MAP, OF_THE_IMAGE, Features, Scene, expected_iou, of_map, overlap

OF_BOTH = ("agreement", "added", "removed", "gain if refined", "gain if base", "distance")

NAMES = (*OF_BOTH, *(f"base {name}" for name in OF_A_MAP), *(f"refined {name}" for name in OF_A_MAP), *OF_THE_IMAGE)
"""Of the numbers that `features` returns, in order."""


def features(image: Image, base: ProbabilityMap, refined: ProbabilityMap) -> Features:
    """`NAMES`, float64 ``(31,)``, all finite.

    Of both maps: IoU of the two masks; pixels added and removed, in shares of the base's mask (log1p); IoU that the
    refined mask would gain over the base's where the truth were drawn from the refined map's probabilities, and from
    the base's; mean absolute difference. Then of each map `of_map`, and of the image `Scene.numbers`.

    Args:
        image: uint8 ``(H, W, 3)``.
        base, refined: float32 ``(H, W)`` in [0, 1].
    """
    scene = Scene.of(image)
    base, refined = scene.seen(base), scene.seen(refined)
    before, after = base >= DECISION, refined >= DECISION
    least = max(1, int(before.sum()))
    both = [
        overlap(before, after),
        # A ratio of areas can be anything: on a logarithmic scale it is bounded enough to learn from.
        float(np.log1p(int((after & ~before).sum()) / least)),
        float(np.log1p(int((before & ~after).sum()) / least)),
        expected_iou(after, refined) - expected_iou(before, refined),
        expected_iou(after, base) - expected_iou(before, base),
        float(np.abs(refined - base).mean()),
    ]
    return np.array([*both, *of_map(base, scene), *of_map(refined, scene), *scene.numbers()])
