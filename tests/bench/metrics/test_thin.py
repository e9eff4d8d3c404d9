from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest

from bench.contracts import Mask
from bench.metrics import betti_error, betti_numbers, cldice, dice
from bench.metrics.thin import BettiError
from tests.bench.metrics.pairs import drawn
from tests.bench.metrics.shapes import empty, full

morphology: Any = pytest.importorskip("skimage.morphology", reason="scikit-image is not installed: the metrics extra")


def points(mask: Mask) -> set[tuple[int, ...]]:
    return set(map(tuple, np.argwhere(mask)))


def test_cldice_of_drawn_pairs_by_sets_of_pixels() -> None:
    for probs, mask in drawn():
        pred = probs >= 0.5
        found, truth = points(morphology.skeletonize(pred)), points(morphology.skeletonize(mask))
        if not found or not truth:
            assert cldice(probs, mask) == (found == truth)
            continue
        precision, sensitivity = len(found & points(mask)) / len(found), len(truth & points(pred)) / len(truth)
        wanted = 2 / (1 / precision + 1 / sensitivity) if precision and sensitivity else 0
        assert cldice(probs, mask) == pytest.approx(wanted, rel=0, abs=1e-12)


def test_cldice_asks_for_the_centre_alone() -> None:
    """A wide road found as a thin line in its middle: all of the centre is there, but where it bends to a corner."""
    mask, pred = empty(9, 30), empty(9, 30)
    mask[3:6] = True
    pred[4] = True
    assert dice(pred, mask) == 0.5 and cldice(pred, mask) > 0.95


def test_cldice_of_empty_masks() -> None:
    assert cldice(empty(3, 3), empty(3, 3)) == 1
    assert cldice(full(3, 3), empty(3, 3)) == cldice(empty(3, 3), full(3, 3)) == 0


def test_betti_numbers_against_gudhi() -> None:
    """Pixels as closed squares: those of the foreground meet in corners, those of the background do not."""
    gudhi: Any = pytest.importorskip("gudhi", reason="gudhi is not installed")
    holes = 0
    for _, mask in drawn():
        complex_ = gudhi.CubicalComplex(top_dimensional_cells=np.where(mask, 0.0, 1.0))
        complex_.compute_persistence(min_persistence=-1)
        found: list[int] = complex_.persistent_betti_numbers(0, 0.5)
        parts, loops, *_ = *found, 0, 0
        assert betti_numbers(mask) == (parts, loops)
        holes += loops
    assert holes > 100


def test_corners_connect_the_foreground_alone() -> None:
    diagonal = np.eye(2, dtype=bool)
    assert betti_numbers(diagonal) == (1, 0)
    diamond = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)
    assert betti_numbers(diamond) == (1, 1)
    assert betti_numbers(empty(2, 2)) == (0, 0) and betti_numbers(full(2, 2)) == (1, 0)


@pytest.mark.parametrize(("betti", "wanted"), [("0", 2), ("1", 1), ("both", 3)])
def test_betti_error_by_hand(betti: Literal["0", "1", "both"], wanted: int) -> None:
    """A ring against three dots: two parts more, one hole less."""
    ring, dots = full(3, 3), empty(3, 3)
    ring[1, 1] = False
    dots[[0, 0, 2], [0, 2, 1]] = True
    assert betti_error(dots, ring, betti=betti) == wanted
    assert BettiError(betti=betti)(dots.astype(np.float32), ring) == wanted
