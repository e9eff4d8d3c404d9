"""Patch-optimal labels of several classes: what the paper's section 3.4 leaves to future work.

A threshold moves the border between two classes. Its counterpart for m classes is a translation t in R^m: a pixel
gets the class ``argmax(probs + t)``. For every patch the translation is sought that maximises the mean IoU of its
labels. The mean is over all m classes, and a class that is neither in the labels nor in the truth counts 1: for two
classes that is the mean of foreground's and background's IoU with 0/0 := 1. (`patch_optimal` maximises the
foreground's alone.) Leaving such classes out of the mean instead would be the same for two classes, but not for more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.refiners.prn.translation_search import Ascent

CHUNK = 1 << 15
"""Pixels that are searched at once: few enough to stay in a processor's cache."""

EFFORT = 80_000
MOST_RESTARTS = 24


@dataclass(frozen=True, slots=True)
class MulticlassLabels:
    """What was found for every patch, in rows and columns of the patch grid.

    Attributes:
        labels: int64 ``(H, W)`` in 0..m-1: ``argmax(probs + t)`` with the translation of the pixel's patch, to the bit
            if added in float64; the lowest class where several are highest.
        translations: float64 ``(rows, columns, m)``. A constant added to all m changes nothing.
        mious: float64 ``(rows, columns)``: mean IoU of the patch's labels over all m classes.
    """

    labels: NDArray[np.int64]
    translations: NDArray[np.float64]
    mious: NDArray[np.float64]


def patch_optimal_multiclass(
    probs: NDArray[np.floating], labels: NDArray[np.integer], patch: int, *, restarts: int | None = None
) -> MulticlassLabels:
    """Find the translation of class probabilities that maximises each patch's mean IoU with the ground truth.

    Coordinate ascent from t = 0: with all other classes fixed, a pixel changes to class c at one value of t_c. The
    mean IoU is evaluated between all of these values, and t_c moves to the best place, strictly between two of them;
    of equally good ones to the nearest. This is repeated until no class gains, and from other starts: a random
    translation and a random step away from the best one found, in turn. A result is never below t = 0. For two
    classes it is the optimum (the first move finds it), for more the optimum along every class, no proof of more.
    A patch's result does not depend on the other patches, and the same input gives the same result.

    Patches tile the maps from the top left corner; those at the right and bottom border may be smaller.

    Args:
        probs: float ``(m, H, W)`` in [0, 1], m of at least 2; need not add up to 1.
        labels: int ``(H, W)`` in 0..m-1, the ground truth.
        patch: side of a patch in pixels, at least 1; at most one patch where it exceeds the map.
        restarts: starts besides t = 0, for three or more classes. Time is in proportion to 1 + restarts. None is
            80,000 / (m * pixels of a patch), at most 24: for 3 classes 6 with patches of 64 pixels and 24 from 33
            down; for 21 classes none with 64.

    Raises:
        ValueError: shapes differ, the map is empty, has one class, or values outside [0, 1], or a label is no class.

    Example:
        >>> probs = np.array([[[0.6, 0.5, 0.5]], [[0.3, 0.3, 0.1]], [[0.1, 0.2, 0.4]]])
        >>> found = patch_optimal_multiclass(probs, np.array([[0, 1, 2]]), 3)
        >>> found.labels, found.mious
        (array([[0, 1, 2]]), array([[1.]]))
    """
    _check(probs, labels, patch)
    classes, (height, width) = len(probs), labels.shape
    rows, columns = -(-height // patch), -(-width // patch)
    found = MulticlassLabels(
        labels=np.empty((height, width), np.int64),
        translations=np.empty((rows, columns, classes)),
        mious=np.empty((rows, columns)),
    )
    for place, grid in _regions(height, width, patch):
        shape = found.mious[grid].shape
        values = _patches(probs[:, place[0], place[1]].astype(np.float64), shape)
        truth = _patches(labels[None, place[0], place[1]].astype(np.uint16), shape)[0]
        best = np.empty((len(truth), classes))
        step = max(1, CHUNK // truth.shape[1])
        result = np.empty(truth.shape, np.int64)
        scores = np.empty(len(truth))
        for first in range(0, len(truth), step):
            part = slice(first, first + step)
            ascent = Ascent(np.ascontiguousarray(values[:, part]), truth[part])
            best[part] = _best_of_many(ascent, restarts)
            result[part] = ascent.labels(best[part])
            scores[part] = ascent.score(best[part])
        found.labels[place] = _assembled(result, shape, found.labels[place].shape)
        found.translations[grid] = best.reshape(*shape, classes)
        found.mious[grid] = scores.reshape(shape)
    return found


def _check(probs: np.ndarray, labels: np.ndarray, patch: int) -> None:
    if probs.ndim != 3 or probs.shape[1:] != labels.shape or probs.size == 0:
        raise ValueError(f"need maps (m, H, W) and labels (H, W), have {probs.shape} and {labels.shape}")
    if len(probs) < 2:
        raise ValueError("a map of one class has nothing to choose")
    if probs.dtype.kind != "f" or not ((probs >= 0) & (probs <= 1)).all():
        raise ValueError("the maps must be floats in [0, 1]")
    if labels.dtype.kind not in "iub" or labels.min() < 0 or labels.max() >= len(probs):
        raise ValueError(f"the labels must be integers in 0..{len(probs) - 1}")
    if patch < 1:
        raise ValueError(f"a patch of {patch} pixels")


def _best_of_many(ascent: Ascent, restarts: int | None) -> NDArray[np.float64]:
    """The best translations ``(B, m)`` from t = 0 and from other starts, the same for every patch."""
    count, classes, pixels = len(ascent.truth), ascent.classes, ascent.truth.shape[1]
    best, scores = ascent.climb(np.zeros((count, classes)))
    if restarts is None:
        restarts = min(MOST_RESTARTS, EFFORT // (classes * pixels))
    draw = np.random.default_rng(0)
    for turn in range(restarts if classes > 2 else 0):
        random = draw.uniform(-1, 1, classes)
        found, reached = ascent.climb(best + random / 2 if turn % 2 else np.tile(random, (count, 1)))
        better = reached > scores
        best[better], scores[better] = found[better], reached[better]
    return best


def _regions(height: int, width: int, patch: int) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """The whole patches, and the smaller ones at the right, at the bottom and in the corner, where there are any.

    Yields:
        A region's rows and columns of pixels, and its rows and columns of the patch grid. All of its patches are equal.
    """

    def halves(side: int) -> list[tuple[slice, slice]]:
        whole = side // patch
        parts = [(slice(0, whole * patch), slice(0, whole)), (slice(whole * patch, side), slice(whole, whole + 1))]
        return [part for part in parts if part[0].start < part[0].stop]

    for row_pixels, row_patches in halves(height):
        for column_pixels, column_patches in halves(width):
            yield (row_pixels, column_pixels), (row_patches, column_patches)


def _patches(arrays: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    """``(m, H, W)`` -> ``(m, patches, pixels)``, row-major."""
    count, height, width = arrays.shape
    rows, columns = grid
    tiles = arrays.reshape(count, rows, height // rows, columns, width // columns).swapaxes(2, 3)
    return tiles.reshape(count, rows * columns, -1)


def _assembled(patches: np.ndarray, grid: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `_patches` for one array: ``(patches, pixels)`` -> ``(H, W)``."""
    rows, columns = grid
    height, width = shape
    tiles = patches.reshape(rows, columns, height // rows, width // columns).swapaxes(1, 2)
    return tiles.reshape(height, width)
