"""Masks that are wrong in the way a network's are: what CascadePSP is trained on (specs/cascadepsp.md, section 5)."""

from __future__ import annotations

import cv2
import numpy as np

from bench.contracts import Mask

DROPPED = 0.1
"""Share of a contour's vertices that is cut out in one run."""

KEPT = 0.1
"""Share of the others that is kept, at random."""

LEAST, MOST = 3, 9
"""Sides of a dilation's or an erosion's kernel, pixels."""

SPECK = 0.25
"""How often a pixel is set anew before a dilation or an erosion. Ours: without it neither would ever change an
empty or a full mask, nor make a hole."""

LEANING = 200
"""Changes after which a new balance of dilations and erosions is drawn. At an even balance a full mask stays full."""

CHANGES = 10_000
"""At most, so that there is an end."""

_SHAPES = (cv2.MORPH_RECT, cv2.MORPH_CROSS, cv2.MORPH_ELLIPSE)


def perturbed(mask: Mask, target: float, draw: np.random.Generator) -> Mask:
    """A mask whose IoU with ``mask`` is under ``target``.

    Its contours lose a tenth of their vertices in a run and nine tenths of the others at random; then random windows
    are dilated or eroded by 3 to 9 pixels until the IoU is reached.

    Args:
        mask: bool ``(H, W)``, not changed. May be empty or full.
        target: IoU in (0, 1]; the authors draw it from U(0.8, 1).
        draw: the result depends on its state, on ``mask`` and on ``target`` alone.

    Returns:
        A new bool ``(H, W)``.
    """
    found, growth = _coarsened(mask, draw), 0.5
    for change in range(CHANGES):
        if _iou(found, mask) < target:
            break
        if change % LEANING == 0:
            growth = draw.random()
        _change_a_window(found, growth, draw)
    return found.astype(np.bool_)


def _coarsened(mask: Mask, draw: np.random.Generator) -> np.ndarray:
    """uint8 0/1: the mask's contours, outer ones and those of holes, drawn from a tenth of their vertices."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    drawn = np.zeros(mask.shape, np.uint8)
    if contours:
        # Filled by the even-odd rule: holes stay holes.
        cv2.fillPoly(drawn, [_thinned(contour, draw) for contour in contours], 1)
    return drawn


def _thinned(contour: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """A contour ``(N, 1, 2)`` with a run of its vertices dropped and a share of the others kept, at least three."""
    rest = np.roll(contour, -int(draw.integers(len(contour))), axis=0)[round(DROPPED * len(contour)) :]
    count = min(len(rest), max(3, round(KEPT * len(rest))))
    return rest[np.sort(draw.choice(len(rest), count, replace=False))]


def _change_a_window(found: np.ndarray, growth: float, draw: np.random.Generator) -> None:
    rows, columns = found.shape
    top, left = int(draw.integers(rows)), int(draw.integers(columns))
    bottom, right = int(draw.integers(top + 1, rows + 1)), int(draw.integers(left + 1, columns + 1))
    window = found[top:bottom, left:right]
    if draw.random() < SPECK:
        window[(bottom - top) // 2, (right - left) // 2] = draw.integers(2)
    width, height = draw.integers(LEAST, MOST + 1, 2).tolist()
    kernel = cv2.getStructuringElement(_SHAPES[int(draw.integers(len(_SHAPES)))], (width, height))
    change = cv2.dilate if draw.random() < growth else cv2.erode
    window[:] = change(np.ascontiguousarray(window), kernel)


def _iou(found: np.ndarray, mask: Mask) -> float:
    present = found > 0
    either = np.count_nonzero(present | mask)
    return np.count_nonzero(present & mask) / either if either else 1.0
