"""Masks that are wrong in the way a network's are: what CascadePSP is trained on (specs/cascadepsp.md, section 5)."""

from __future__ import annotations

import math

import cv2
import numpy as np

from bench.contracts import Mask

FEWEST = 10
"""Vertices of a contour; what has fewer is left out."""

DROPPED = 0.1
"""Share of a contour's vertices that is cut out in one run."""

SHORTEST = 0.1
"""Share of the runs, those with the shortest chords, of which one is cut out."""

KEPT = 0.1
"""Share of the others that is kept, at random."""

LEAST, MOST = 3, 9
"""Sides of a dilation's or an erosion's kernel, pixels."""

SPECK = 0.25
"""How often a pixel is set anew before a dilation or an erosion: makes holes and islands."""

BETWEEN = 4
"""Changes from one look at the IoU to the next."""

EVEN = 1000
"""Changes at an even balance of dilations and erosions, at most."""

LEANING = 200
"""Of those that follow, so many at a balance drawn anew. Ours: at an even one a mask that fills a crop stays full."""

CHANGES = 10_000
"""At most, so that there is an end."""


def perturbed(mask: Mask, target: float, draw: np.random.Generator) -> Mask:
    """A mask that is drawn coarsely, and then changed until its IoU with that coarse one is under ``target``.

    Its contours lose a tenth of their vertices in a run, where that cuts off little, and nine tenths of the others at
    random; then random windows are dilated or eroded by 3 to 9 pixels, four at a time. The IoU is that with the coarse
    mask, as in the authors' code: what the coarsening itself has changed comes on top.

    Args:
        mask: bool ``(H, W)``, not changed. May be empty or full.
        target: IoU in (0, 1]; the authors draw it from U(0.8, 1).
        draw: the result depends on its state, on ``mask`` and on ``target`` alone.

    Returns:
        A new bool ``(H, W)``.
    """
    coarse, growth = _coarsened(mask, draw), 0.5
    found = coarse.copy()
    for change in range(0, CHANGES, BETWEEN):
        if change >= EVEN and change % LEANING == 0:
            growth = draw.random()
        for _ in range(BETWEEN):
            _change_a_window(found, growth, draw)
        if _iou(found, coarse) < target:
            break
    return found.astype(np.bool_)


def _coarsened(mask: Mask, draw: np.random.Generator) -> np.ndarray:
    """uint8 0/1: the mask's contours, outer ones and those of holes, drawn from a tenth of their vertices.

    Where all have too few vertices it is the mask itself.
    """
    whole = mask.astype(np.uint8)
    contours, _ = cv2.findContours(whole, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    thinned = [_thinned(contour, draw) for contour in contours if len(contour) >= FEWEST]
    if not thinned:
        return whole
    # Filled by the even-odd rule: holes stay holes.
    drawn = np.zeros(mask.shape, np.uint8)
    cv2.fillPoly(drawn, thinned, 1)
    return drawn


def _thinned(contour: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A contour ``(N, 1, 2)`` with a run of its vertices dropped and a share of the others kept, at least three."""
    run = int(DROPPED * len(contour))
    chords = ((contour[run:] - contour[:-run]) ** 2).sum((1, 2))
    starts = np.argsort(chords, kind="stable")[: math.ceil(SHORTEST * len(chords))]
    start = int(draw.choice(starts))
    rest = np.delete(contour, np.s_[start : start + run], axis=0)
    count = min(len(rest), max(3, round(KEPT * len(rest))))
    return rest[np.sort(draw.choice(len(rest), count, replace=False))]


def _change_a_window(found: np.ndarray, growth: float, draw: np.random.Generator) -> None:
    rows, columns = found.shape
    top, left = int(draw.integers(rows)), int(draw.integers(columns))
    bottom, right = int(draw.integers(top + 1, rows + 1)), int(draw.integers(left + 1, columns + 1))
    window = found[top:bottom, left:right]
    if draw.random() < SPECK:
        window[(bottom - top) // 2, (right - left) // 2] = draw.integers(2)
    kernel = kernels(int(draw.integers(LEAST, MOST + 1)))[int(draw.integers(4))]
    change = cv2.dilate if draw.random() < growth else cv2.erode
    window[:] = change(np.ascontiguousarray(window), kernel)


def kernels(side: int) -> list[np.ndarray]:
    """The four that a dilation or an erosion is drawn from: a square, a disc, and ellipses half as high or wide."""
    ellipses = ((side, side), (side, side // 2), (side // 2, side))
    square = cv2.getStructuringElement(cv2.MORPH_RECT, (side, side))
    return [square, *(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, size) for size in ellipses)]


def _iou(found: np.ndarray, mask: Mask) -> float:
    present = found > 0
    either = np.count_nonzero(present | mask)
    return np.count_nonzero(present & mask) / either if either else 1.0
