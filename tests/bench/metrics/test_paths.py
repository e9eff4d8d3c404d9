from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from bench.contracts import Mask, UserError
from bench.metrics import path_shares
from bench.metrics.paths import RoadPaths
from tests.bench.metrics.pairs import drawn
from tests.bench.metrics.shapes import empty, full

morphology: Any = pytest.importorskip("skimage.morphology", reason="scikit-image is not installed: the metrics extra")

SIDE = 60


def ring() -> Mask:
    """A square road of one pixel width, 4 * 40 pixels round."""
    road = empty(SIDE, SIDE)
    road[10:51, 10:51] = True
    road[11:50, 11:50] = False
    return road


def test_the_same_road() -> None:
    assert path_shares(ring(), ring()) == (1, 0, 0, 0)


def test_a_gap_makes_detours_and_its_second_half_cuts_off() -> None:
    once = ring()
    once[10, 30:33] = False
    shares = path_shares(once, ring())
    assert shares.unconnected == 0 and shares.too_short == 0 and 0.2 < shares.too_long < 0.6
    twice = once.copy()
    twice[50, 30:33] = False
    shares = path_shares(twice, ring(), tolerance=2)
    assert shares.too_long == 0 and shares.unconnected == pytest.approx(0.5, abs=0.05)


def test_a_road_that_does_not_exist_makes_short_cuts() -> None:
    """Between points of the left and the right side, an eighth of all pairs, where both are near the bridge."""
    bridged = ring()
    bridged[30, 10:51] = True
    shares = path_shares(bridged, ring())
    assert shares.unconnected == 0 and shares.too_long == 0 and 0.05 < shares.too_short < 1 / 8


def test_an_end_off_the_predicted_road_is_unconnected() -> None:
    road, moved = empty(40, 40), empty(40, 40)
    road[20, 2:38] = True
    moved[26, 2:38] = True
    assert path_shares(moved, road, tolerance=5).unconnected == 1
    assert path_shares(moved, road, tolerance=6).correct == 1


def test_empty_masks() -> None:
    assert path_shares(empty(9, 9), ring()[:9, :9] | full(9, 9)) == (0, 0, 0, 1)
    assert all(map(math.isnan, path_shares(full(9, 9), empty(9, 9))))
    dot = empty(9, 9)
    dot[4, 4] = True
    assert all(map(math.isnan, path_shares(dot, dot)))


def test_drawn_pairs_against_networkx() -> None:
    """Whole masks, all pairs: the loops that the definition says."""
    networkx: Any = pytest.importorskip("networkx")
    seen = 0
    for probs, mask in drawn():
        found, truth = (morphology.skeletonize(one.copy()) for one in (probs >= 0.5, mask))
        if not 1 < truth.sum() <= 64:
            continue  # of more, not all pixels are starts
        graphs = [networkx.Graph(), networkx.Graph()]
        for graph, pixels in zip(graphs, (found, truth), strict=True):
            places = [tuple(map(int, place)) for place in np.argwhere(pixels)]
            graph.add_nodes_from(places)
            graph.add_weighted_edges_from(
                (a, b, math.dist(a, b)) for a in places for b in places if 0 < math.dist(a, b) < 1.5
            )
        lengths = [dict(networkx.all_pairs_dijkstra_path_length(graph)) for graph in graphs]
        nearest = {
            place: min((math.dist(place, other), other) for other in graphs[0]) if len(graphs[0]) else (math.inf, None)
            for place in graphs[1]
        }
        if len(graphs[0]) and any(
            sum(math.dist(place, other) == nearest[place][0] for other in graphs[0]) > 1 for place in graphs[1]
        ):
            continue  # two are as near: either may be taken
        kinds = []
        for one, others in lengths[1].items():
            for other, length in others.items():
                if one == other:
                    continue
                (off, start), (off_there, end) = nearest[one], nearest[other]
                way = lengths[0][start].get(end) if max(off, off_there) <= 5 else None
                allowed = 0.05 * length + off + off_there
                if way is None:
                    kinds.append(3)
                else:
                    kinds.append(0 if abs(way - length) <= allowed + 1e-9 else 1 if way > length else 2)
        if kinds:
            seen += 1
            wanted = np.bincount(kinds, minlength=4) / len(kinds)
            np.testing.assert_allclose(path_shares(probs, mask, tolerance=5), wanted, rtol=0, atol=1e-12)
    assert seen >= 20


def test_the_metric_says_which_share_it_is() -> None:
    broken = ring()
    broken[10, 30:33] = False
    shares = path_shares(broken, ring())
    probs = broken.astype(np.float32)
    assert RoadPaths()(probs, ring()) == shares.correct and RoadPaths().better == "higher"
    long = RoadPaths(share="too-long")
    assert long(probs, ring()) == shares.too_long and (long.better, long.title) == ("lower", "paths too long")


def test_a_tolerance_that_is_none_is_refused() -> None:
    for tolerance in (-1, math.nan, math.inf):
        with pytest.raises(UserError, match="0 or more"):
            RoadPaths(tolerance=tolerance)
