"""Patch-optimal binarisation: what PatchRefineNet learns to predict.

Every patch of a probability map gets the threshold that maximises its IoU with the ground truth (the paper's
section 3.1). The released code tries 20 thresholds; here all of a patch's distinct values are tried, so the
optimum is exact. With the empty mask they make every mask that a threshold can make.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Mask

Probabilities: TypeAlias = NDArray[np.float32] | NDArray[np.float64] | NDArray[np.uint8] | NDArray[np.uint16]
"""``(H, W)``: floats in [0, 1], or integer codes of which the type's largest stands for 1."""


@dataclass(frozen=True, slots=True)
class PatchLabels:
    """The optimum of every patch, in rows and columns of the patch grid.

    Attributes:
        labels: bool ``(H, W)``: each pixel's probability is at least its patch's threshold.
        thresholds: float64 ``(rows, columns)`` in [0, 1]; infinity where no pixel is foreground.
        ious: float64 ``(rows, columns)``: IoU of the patch's labels with its ground truth.
    """

    labels: Mask
    thresholds: NDArray[np.float64]
    ious: NDArray[np.float64]


def patch_optimal(probs: Probabilities, mask: Mask, patch: int, *, smooth: float = 0.0) -> PatchLabels:
    """Binarise each patch at the threshold that maximises its IoU with the mask.

    Patches tile the map from its top left corner; those at the right and bottom border may be smaller. Ties go
    to the threshold nearest 0.5, of two equally near ones to the higher. A patch without foreground in the mask
    is labelled background: its IoU is 1.

    Args:
        probs: ``(H, W)``, see `Probabilities`.
        mask: bool ``(H, W)``, the ground truth.
        patch: side of a patch in pixels, at least 1; at most one patch where it exceeds the map.
        smooth: added to intersection and union; the released code has 1. With 0, 0/0 is 1.

    Raises:
        ValueError: shapes differ, the map is empty, or a probability is NaN or negative.

    Example:
        >>> probs = np.array([[0.1, 0.3, 0.9, 0.8], [0.3, 0.1, 0.7, 0.6]])
        >>> mask = np.array([[0, 1, 1, 1], [1, 0, 0, 0]], bool)
        >>> found = patch_optimal(probs, mask, 2)
        >>> found.thresholds
        array([[0.3, 0.8]])
        >>> found.labels.astype(int)
        array([[0, 1, 1, 1],
               [1, 0, 0, 0]])
    """
    if probs.shape != mask.shape or probs.ndim != 2 or probs.size == 0:
        raise ValueError(f"need a map and a mask of one shape (H, W), have {probs.shape} and {mask.shape}")
    if not (probs >= 0).all():
        raise ValueError("the map has NaN or negative values")
    if patch < 1:
        raise ValueError(f"a patch of {patch} pixels")
    patch = min(patch, max(probs.shape))
    exact = probs.dtype.kind == "u"
    levels = 256**probs.dtype.itemsize if exact else 0
    scale = levels - 1 if exact else 1
    # Integers wide enough for a -1, which marks the filled-up part of border patches and is never a candidate.
    values = _patches(probs.astype(np.int32) if exact else probs, patch, -1)
    inside = _patches(mask, patch, False)
    if exact and levels <= patch * patch:
        candidates, predicted, hits = _by_histogram(values, inside, levels)
    else:
        candidates, predicted, hits = _by_sorting(values, inside)
    best, ious = _best(candidates / scale, predicted, hits, inside.sum(axis=1), smooth)
    chosen = np.take_along_axis(candidates, np.maximum(best, 0)[:, None], axis=1)[:, 0]
    grid = tuple(-(-side // patch) for side in probs.shape)
    # Compare in the map's own type: a threshold of codes / 65535 need not survive the division.
    labels = (values >= chosen[:, None]) & (best >= 0)[:, None]
    return PatchLabels(
        labels=_assembled(labels, grid, patch)[: probs.shape[0], : probs.shape[1]],
        thresholds=np.where(best >= 0, chosen / scale, np.inf).reshape(grid),
        ious=ious.reshape(grid),
    )


def image_optimal(probs: Probabilities, mask: Mask, *, smooth: float = 0.0) -> PatchLabels:
    """`patch_optimal` with the whole map as one patch: the best that one threshold an image can do."""
    return patch_optimal(probs, mask, max(probs.shape), smooth=smooth)


def _patches(array: np.ndarray, patch: int, fill: float) -> np.ndarray:
    """``(patches, patch * patch)``, row-major, border patches filled up."""
    height, width = array.shape
    array = np.pad(array, ((0, -height % patch), (0, -width % patch)), constant_values=fill)
    rows, columns = array.shape[0] // patch, array.shape[1] // patch
    return array.reshape(rows, patch, columns, patch).swapaxes(1, 2).reshape(rows * columns, patch * patch)


def _assembled(patches: np.ndarray, grid: tuple[int, ...], patch: int) -> np.ndarray:
    """The inverse of `_patches`, filled-up border included."""
    rows, columns = grid
    return patches.reshape(rows, columns, patch, patch).swapaxes(1, 2).reshape(rows * patch, columns * patch)


def _by_histogram(values: np.ndarray, inside: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `_by_sorting`, for integer codes below ``levels``: faster where a patch has more pixels than levels."""
    count = len(values)
    bins = levels + 1  # the lowest is for the -1 of border patches
    flat = (values + 1 + bins * np.arange(count)[:, None]).ravel()
    every = np.bincount(flat, minlength=count * bins).reshape(count, bins)[:, :0:-1]
    hit = np.bincount(flat[inside.ravel()], minlength=count * bins).reshape(count, bins)[:, :0:-1]
    codes = np.where(every > 0, np.arange(levels - 1, -1, -1), -1)
    return codes, every.cumsum(axis=1), hit.cumsum(axis=1)


def _by_sorting(values: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Candidate thresholds of each patch in falling order, and what ``value >= threshold`` would give.

    Returns:
        Three arrays ``(patches, K)``: the threshold, or -1 where this place holds none; the number of pixels at or
        above it; how many of those are in the mask.
    """
    order = np.argsort(values, axis=1)[:, ::-1]
    values = np.take_along_axis(values, order, axis=1)
    hits = np.take_along_axis(inside, order, axis=1).cumsum(axis=1)
    last_of_its_value = np.ones(values.shape, bool)
    np.not_equal(values[:, :-1], values[:, 1:], out=last_of_its_value[:, :-1])
    predicted = np.broadcast_to(np.arange(1, values.shape[1] + 1), values.shape)
    return np.where(last_of_its_value, values, -1), predicted, hits


def _best(
    thresholds: np.ndarray, predicted: np.ndarray, hits: np.ndarray, truth: np.ndarray, smooth: float
) -> tuple[np.ndarray, np.ndarray]:
    """Each patch's best place among its candidates, or -1 for the empty mask, and the IoU there."""
    union = truth[:, None] + predicted - hits
    ious = np.full(thresholds.shape, -1.0)
    np.divide(hits + smooth, union + smooth, out=ious, where=thresholds >= 0)
    top = ious.max(axis=1)
    place = np.where(ious == top[:, None], np.abs(thresholds - 0.5), np.inf).argmin(axis=1)
    # Every candidate predicts a pixel or more, so 0/0 arises for the empty mask alone.
    empty = np.divide(smooth, truth + smooth, out=np.ones(len(truth)), where=truth + smooth > 0)
    return np.where(empty > top, -1, place), np.maximum(empty, top)
