from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from bench.metrics import assd, hd95
from tests.bench.metrics.pairs import Pair, drawn
from tests.bench.metrics.shapes import empty, full

SINGLE = 2e-6
"""MONAI interpolates between ranks in single precision: relative to the image's diagonal."""


def test_goldens(pairs: list[Pair]) -> None:
    for pair in pairs:
        found, wanted = hd95(pair.probs, pair.mask), pair.expected["hd95_monai"]
        pred = pair.probs >= 0.5
        if not pred.any() and not pair.mask.any():
            assert found == 0 and math.isnan(wanted)
        else:
            tolerance = SINGLE * math.hypot(*pair.mask.shape)
            assert found == pytest.approx(wanted, rel=0, abs=tolerance, nan_ok=True), pair.name


@pytest.mark.slow  # to import it takes longer than all else here
def test_drawn_pairs_against_monai() -> None:
    metrics: Any = pytest.importorskip("monai.metrics", reason="monai is not installed")
    import torch

    for probs, mask in drawn():
        pred = probs >= 0.5
        pair = [torch.from_numpy(one)[None, None].float() for one in (pred, mask)]
        if pred.any() and mask.any():
            wanted = float(metrics.compute_hausdorff_distance(*pair, include_background=True, percentile=95))
            assert hd95(probs, mask) == pytest.approx(wanted, rel=0, abs=1e-4)
            wanted = float(metrics.compute_average_surface_distance(*pair, include_background=True, symmetric=True))
            assert assd(probs, mask) == pytest.approx(wanted, rel=0, abs=1e-4)
        else:
            both_empty = not pred.any() and not mask.any()
            for found in (hd95(probs, mask), assd(probs, mask)):
                assert found == 0 if both_empty else math.isnan(found)


def test_by_hand() -> None:
    """A row of ten against its first five: of the row's contour five pixels are 1 to 5 away, of the other one none."""
    mask, pred = full(1, 10), full(1, 10)
    mask[0, 5:] = False
    assert hd95(pred, mask) == pytest.approx(np.percentile([0, 0, 0, 0, 0, 1, 2, 3, 4, 5], 95))
    assert assd(pred, mask) == (1 + 2 + 3 + 4 + 5) / 15


def test_the_image_border_is_a_contour() -> None:
    """Of a full image the outermost pixels are the contour: the middle one of the other mask is two away."""
    dot = empty(5, 5)
    dot[2, 2] = True
    assert hd95(full(5, 5), dot) == pytest.approx(math.sqrt(8))
    assert hd95(dot, full(5, 5)) == hd95(full(5, 5), dot)


def test_empty_masks() -> None:
    for metric in (hd95, assd):
        assert metric(empty(3, 3), empty(3, 3)) == 0
        assert math.isnan(metric(full(3, 3), empty(3, 3))) and math.isnan(metric(empty(3, 3), full(3, 3)))
