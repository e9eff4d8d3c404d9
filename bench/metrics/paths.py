"""Whether one gets from place to place along a predicted road network as along the true one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Mask, Metric, ProbabilityMap, UserError
from bench.metrics.arguments import Prediction, binarised
from bench.metrics.thin import skeleton

if TYPE_CHECKING:
    from scipy.sparse import csr_array

TOLERANCE = 10.0
"""How far the prediction's centreline may lie from the true one, in pixels: half the width of a wide road."""

DEVIATION = 0.05
"""Share of a path's length by which it may be longer or shorter."""

STARTS = 64
"""Points from which paths to all others are followed, at most."""

Share: TypeAlias = Literal["correct", "too-long", "too-short", "unconnected"]


class PathShares(NamedTuple):
    """Shares of the paths, which sum to 1; all NaN where there is no path.

    Attributes:
        correct: about as long in the prediction.
        too_long: there is a gap, and a way round it.
        too_short: there is a link that does not exist.
        unconnected: there is no way, or an end of it is not on the predicted network.
    """

    correct: float
    too_long: float
    too_short: float
    unconnected: float


def path_shares(pred: Prediction, mask: Mask, *, tolerance: float = TOLERANCE) -> PathShares:
    """Compare the shortest paths along both skeletons: Wegner et al., CVPR 2013, in the form of Mosinska et al. 2018.

    A path runs between two pixels of the ground truth's skeleton that it connects, and in the prediction between the
    nearest pixels of its skeleton, which must lie within ``tolerance``. A step costs 1, a diagonal one the root of 2.
    A path is right where its length differs by no more than 5 %, and by what the ends were moved. The papers draw pairs
    at random; here they run from 64 pixels of the true skeleton, evenly spaced in reading order (all of a smaller one),
    to all others, so that the same masks have the same value always.

    Empty masks: a ground truth without two connected skeleton pixels has no path, whatever is predicted: NaN. Of an
    empty prediction all are unconnected.

    Args:
        pred: ``(H, W)`` bool, or a float map in [0, 1], binarised at ``>= 0.5``.
        mask: ``(H, W)`` bool, the ground truth.
        tolerance: pixels, 0 or more.

    Raises:
        ValueError: shapes differ, a dtype is ambiguous, or the map has NaN or leaves [0, 1].

    Example:
        A road of eight pixels whose sixth is missing: of the 28 pairs 10 + 1 are on one side of the gap.

        >>> import numpy as np
        >>> from bench.metrics import path_shares
        >>> road = np.ones((1, 8), dtype=bool)
        >>> broken = road.copy()
        >>> broken[0, 5] = False
        >>> round(28 * path_shares(broken, road, tolerance=0).correct, 6)
        11.0
    """
    found, truth = (np.argwhere(skeleton(one)) for one in (binarised(pred, mask), mask))
    if not len(truth):
        return PathShares(*[math.nan] * 4)
    starts = np.unique(np.linspace(0, len(truth) - 1, min(STARTS, len(truth))).round().astype(np.intp))
    true = _lengths(_network(truth), starts)
    moved, ends = _nearest(truth, found)
    known = moved <= tolerance
    lengths = np.full_like(true, np.inf)
    if known[starts].any():
        rows = _lengths(_network(found), ends[starts[known[starts]]])
        lengths[np.ix_(known[starts], known)] = rows[:, ends[known]]
    pairs = np.isfinite(true) & (true > 0)
    if not pairs.any():
        return PathShares(*[math.nan] * 4)
    allowed = DEVIATION * true + moved[starts][:, None] + moved[None, :]
    with np.errstate(invalid="ignore"):  # of no path, which is left out
        longer = lengths - true
    unconnected = np.isinf(lengths)
    kinds = ((abs(longer) <= allowed) & ~unconnected, (longer > allowed) & ~unconnected, longer < -allowed, unconnected)
    return PathShares(*(float(kind[pairs].mean()) for kind in kinds))


class RoadPaths(Metric):
    """Shortest paths along the roads that are right, too long, too short or interrupted."""

    requires: tuple[str, ...] = ("skimage",)
    extra = "metrics"
    better: Literal["higher", "lower"] = "higher"
    scale, digits = 100.0, 1
    title = "paths right"
    meaning = "share of the shortest paths along the true roads that are as long in the prediction, to 5 %"

    def __init__(self, *, share: Share = "correct", tolerance: float = TOLERANCE) -> None:
        if not 0 <= tolerance < math.inf:
            raise UserError(f"tolerance={tolerance}", "road-paths", "give pixels, 0 or more")
        self.share, self.tolerance = share, tolerance
        if share != "correct":
            self.better = "lower"
            self.title = f"paths {share.replace('-', ' ')}"
            self.meaning = f"share of the shortest paths along the true roads that are {share} in the prediction"

    def __call__(self, probs: ProbabilityMap, mask: Mask) -> float:
        shares = path_shares(probs, mask, tolerance=self.tolerance)
        return float(getattr(shares, self.share.replace("-", "_")))


def _network(points: NDArray[np.intp]) -> csr_array:
    """The graph of pixels ``(N, 2)``, each joined to its up to eight neighbours."""
    from scipy.sparse import csr_array

    numbers = np.full(points.max(axis=0) + 3, -1)
    numbers[points[:, 0] + 1, points[:, 1] + 1] = np.arange(len(points))
    sources, targets, steps = [], [], []
    for down, right in ((0, 1), (1, -1), (1, 0), (1, 1)):
        neighbour = numbers[points[:, 0] + 1 + down, points[:, 1] + 1 + right]
        (source,) = np.nonzero(neighbour >= 0)
        sources.append(source)
        targets.append(neighbour[source])
        steps.append(np.full(len(source), math.hypot(down, right)))
    where = (np.concatenate(sources), np.concatenate(targets))
    return csr_array((np.concatenate(steps), where), shape=(len(points), len(points)))


def _lengths(network: csr_array, starts: NDArray[np.intp]) -> NDArray[np.float64]:
    """``(S, N)``, from each start to each pixel; infinite where there is no way."""
    from scipy.sparse.csgraph import dijkstra

    return np.asarray(dijkstra(network, directed=False, indices=starts))


def _nearest(points: NDArray[np.intp], others: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Distance to the nearest of the others, and its number; infinitely far where there is none."""
    from scipy.spatial import KDTree

    if not len(others):
        return np.full(len(points), np.inf), np.zeros(len(points), dtype=np.intp)
    distances, numbers = KDTree(others).query(points)
    return distances, numbers
