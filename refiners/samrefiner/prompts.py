"""What a Segment-Anything model is asked: points, box and mask of each region of a coarse mask (Lin et al., ICLR 2025).

Written from the paper's description, with the numbers of the authors' code. Ours differs from that code where the
image's border counts as an edge of the region, where strips of the elastic box are cut at the border in place of being
left out, and where one region's elastic box weakens that region's mask prompt alone.
Coordinates are pixel indices, x before y; a box holds its first and its last column and row.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.contracts import Mask

SMALLEST = 5
"""Pixels of a region that is worth asking about."""

ELASTIC_STEP, ELASTIC_MOST = 0.1, 10
"""A box's side moves by this share of the box's extent, but by no more than so many pixels."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """The prompts for one region.

    Attributes:
        points: float64 ``(N, 2)``, N >= 1: x and y.
        labels: int64 ``(N,)``: 1 on the region, 0 beside it.
        box: float64 ``(4,)``: x1, y1, x2, y2.
        sign: float32 ``(H, W)``: 1 on the region, -1 elsewhere.
        weight: float32 ``(H, W)`` in (0, 1]: how sure the region is of a pixel, see `gaussian_weight`.
        elastic: whether the box was enlarged.
    """

    points: NDArray[np.float64]
    labels: NDArray[np.int64]
    box: NDArray[np.float64]
    sign: NDArray[np.float32]
    weight: NDArray[np.float32]
    elastic: bool


def prompts_for(
    region: Mask, *, points: int, negatives: int, gamma: float, margin: float, similar: Mask | None = None
) -> Prompts:
    """The prompts of a region.

    Args:
        region: bool ``(H, W)`` with foreground.
        points: on the region, at most; the first is its most interior pixel.
        negatives: beside it in its box, at most; the first is the farthest from it.
        gamma: see `gaussian_weight`.
        margin: see `elastic_box`.
        similar: bool ``(H, W)``, pixels that look like the region; None leaves the box as tight as it is.
    """
    tight = tight_box(region)
    box = tight if similar is None else elastic_box(tight, similar, margin)
    chosen, labels = points_for(region, points, negatives)
    return Prompts(
        points=chosen,
        labels=labels,
        box=np.array(box, np.float64),
        sign=np.where(region, np.float32(1), np.float32(-1)),
        weight=gaussian_weight(region, gamma),
        elastic=box != tight,
    )


def points_for(region: Mask, points: int, negatives: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Points on a region and beside it, see `prompts_for`: float64 ``(N, 2)``, and their labels 1 or 0 ``(N,)``."""
    x1, y1, x2, y2 = tight_box(region)
    inside = region[y1 : y2 + 1, x1 : x2 + 1]
    on = deepest(np.pad(inside, 1), points) - 1  # the image's border is an edge too
    beside = deepest(~inside, negatives)
    labels = np.repeat([1, 0], [len(on), len(beside)]).astype(np.int64)
    return np.concatenate([on, beside]) + np.array([x1, y1]), labels


def regions(mask: Mask, most: int) -> list[Mask]:
    """Split a mask into its connected regions, and merge those that lie like parts of one object ("split-then-merge").

    Regions are joined, larger ones first, where their boxes fill over half of the box around both, and the pixels fill
    over half of it too, or nearly as much as they fill their own boxes (less 0.1 of the sparser one).

    Args:
        mask: bool ``(H, W)``.
        most: only so many regions, the largest (8-connected, of `SMALLEST` pixels or more), are looked at.

    Returns:
        bool ``(H, W)`` each, without overlap, the one with the largest part first.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    large = [label for label in range(1, count) if areas[label] >= SMALLEST]
    groups = [_Group(label, stats[label]) for label in sorted(large, key=lambda label: (-areas[label], label))[:most]]
    merged: list[_Group] = []
    while groups:
        first, *others = groups
        groups = []
        for other in others:
            if first.fits(other):
                first.absorb(other)
            else:
                groups.append(other)
        merged.append(first)
    return [np.isin(labels, group.labels) for group in merged]


class _Group:
    """Regions that count as one: their labels, box and pixels."""

    def __init__(self, label: int, stats: np.ndarray) -> None:
        x, y, width, height, self.pixels = (int(value) for value in stats)
        self.labels, self.box = [label], (x, y, x + width, y + height)

    @property
    def fill(self) -> float:
        return self.pixels / _area(self.box)

    def fits(self, other: _Group) -> bool:
        around = _area(_around(self.box, other.box))
        fill = (self.pixels + other.pixels) / around
        boxes = (_area(self.box) + _area(other.box)) / around
        return boxes > 0.5 and fill > min(0.5, min(self.fill, other.fill) - 0.1)

    def absorb(self, other: _Group) -> None:
        self.labels += other.labels
        self.pixels += other.pixels
        self.box = _around(self.box, other.box)


Box = tuple[int, int, int, int]


def _around(one: Box, two: Box) -> Box:
    return min(one[0], two[0]), min(one[1], two[1]), max(one[2], two[2]), max(one[3], two[3])


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def tight_box(region: Mask) -> Box:
    """First column, first row, last column and last row with foreground."""
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


def elastic_box(box: Box, similar: Mask, margin: float) -> Box:
    """The context-aware elastic box: each side moves outwards over a strip of pixels that look like the region.

    The strip is a tenth of the box's extent wide, 10 pixels at most, as long as the side, and ends at the border.

    Args:
        similar: bool ``(H, W)``.
        margin: share of similar pixels above which the side moves.
    """
    x1, y1, x2, y2 = box
    across = int(min(ELASTIC_STEP * (x2 - x1), ELASTIC_MOST))
    down = int(min(ELASTIC_STEP * (y2 - y1), ELASTIC_MOST))
    height, width = similar.shape
    left, top = max(x1 - across, 0), max(y1 - down, 0)
    right, bottom = min(x2 + across, width - 1), min(y2 + down, height - 1)
    rows, columns = slice(y1, y2 + 1), slice(x1, x2 + 1)

    def moves(strip: np.ndarray) -> bool:
        return strip.size > 0 and float(strip.mean()) > margin

    return (
        left if moves(similar[rows, left:x1]) else x1,
        top if moves(similar[top:y1, columns]) else y1,
        right if moves(similar[rows, x2 + 1 : right + 1]) else x2,
        bottom if moves(similar[y2 + 1 : bottom + 1, columns]) else y2,
    )


def deepest(mask: Mask, count: int) -> NDArray[np.float64]:
    """Distance-guided points: foreground pixels farthest from the background, and then from the points before.

    Args:
        mask: bool ``(H, W)`` with background; what lies beyond its border is not background.
        count: how many, where there is foreground enough.

    Returns:
        float64 ``(N, 2)``: x and y; of several as deep, the first by row and column.
    """
    # Squares are whole numbers: equal distances stay equal.
    depth = np.rint(_depth(mask).astype(np.float64) ** 2)
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    found: list[tuple[int, int]] = []
    while len(found) < count and depth.max() > 0:
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        found.append((int(column), int(row)))
        depth = np.minimum(depth, (rows - row) ** 2 + (columns - column) ** 2)
    return np.array(found, np.float64).reshape(-1, 2)


def gaussian_weight(region: Mask, gamma: float) -> NDArray[np.float32]:
    """The Gaussian-style mask: 1 where the region is deepest, less towards its edge.

    The weight is ``exp(-gamma * (D - d)^2 / area)``, d being a pixel's distance to the edge and D the largest.

    Args:
        region: bool ``(H, W)`` with foreground.
        gamma: above 0; the larger, the less the edge counts.
    """
    depth = _depth(np.pad(region, 1))[1:-1, 1:-1].astype(np.float64)
    return np.exp(-gamma * (depth.max() - depth) ** 2 / np.count_nonzero(region)).astype(np.float32)


def _depth(mask: Mask) -> NDArray[np.float32]:
    """Euclidean distance of each foreground pixel to the nearest background pixel; 0 on background."""
    return cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
