"""Patch-optimal binarisation: what PatchRefineNet learns to predict, and what tells where a map is biased.

Every patch of a probability map gets the threshold that maximises its IoU with the ground truth (the paper's
section 3.1). Here all of a patch's distinct values are tried, so the optimum is exact: with the empty mask they make
every mask that a threshold can make. The 20 thresholds that the released code tries are an option.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.contracts import DECISION, Mask, ProbabilityMap
from bench.patches.candidates import (
    COARSE,
    KEYS,
    Candidates,
    by_histogram,
    by_refining,
    by_sorting,
    histogram,
    spread,
)

Probabilities: TypeAlias = NDArray[np.float32] | NDArray[np.float64] | NDArray[np.uint8] | NDArray[np.uint16]
"""``(H, W)``: floats in [0, 1], or integer codes of which the type's largest stands for 1."""

GRID_STEPS = 20
"""Thresholds that the released code tries: t / 20 for t = 1..20."""

UNCOMPILED = 1 << 26
"""Pixels that a process searches without numba first, 256 maps of 512 x 512: it takes half a second to load."""

_searched = 0


@dataclass(frozen=True, slots=True)
class PatchLabels:
    """The optimum of every patch, in rows and columns of the patch grid.

    Attributes:
        labels: bool ``(H, W)``: each pixel's probability is at least (with ``thresholds="grid"``: above) its patch's
            threshold.
        thresholds: float64 ``(rows, columns)`` in [0, 1]; infinity where the exact optimum is the empty mask.
        ious: float64 ``(rows, columns)``: IoU of the patch's labels with its ground truth.
    """

    labels: Mask
    thresholds: NDArray[np.float64]
    ious: NDArray[np.float64]


def patch_optimal(
    probs: Probabilities,
    mask: Mask,
    patch: int,
    *,
    smooth: float = 0.0,
    thresholds: Literal["exact", "grid"] = "exact",
) -> PatchLabels:
    """Binarise each patch at the threshold that maximises its IoU with the mask.

    Patches tile the map from its top left corner; those at the right and bottom border may be smaller. Ties go
    to the threshold nearest 0.5, of two equally near ones to the higher. A patch without foreground in the mask
    is labelled background: its IoU is 1.

    ``thresholds="grid"`` is the released code's search (``smooth=1`` gives its numbers): t / 20 for t = 1..20, ties
    to the lowest. It differs in more than its step: a pixel must be *above* the threshold, and no threshold lies
    below 0.05, so that pixels of probability up to 0.05 are never foreground; 1.00 stands for the empty mask.

    Args:
        probs: ``(H, W)``, see `Probabilities`.
        mask: bool ``(H, W)``, the ground truth.
        patch: side of a patch in pixels, at least 1; at most one patch where it exceeds the map.
        smooth: added to intersection and union; the released code has 1. With 0, 0/0 is 1.
        thresholds: "exact" for all distinct values, "grid" for the released code's 20.

    Raises:
        ValueError: shapes differ, the map is empty, of another type, or a probability is NaN or negative.

    Example:
        >>> probs = np.array([[0.1, 0.3, 0.9, 0.8], [0.3, 0.1, 0.7, 0.6]])
        >>> mask = np.array([[0, 1, 1, 1], [1, 0, 0, 0]], bool)
        >>> found = patch_optimal(probs, mask, 2)
        >>> found.thresholds
        array([[0.3, 0.8]])
        >>> found.labels.astype(int)
        array([[0, 1, 1, 1],
               [1, 0, 0, 0]])
        >>> patch_optimal(probs, mask, 2, thresholds="grid").thresholds
        array([[0.1, 0.7]])
    """
    if probs.shape != mask.shape or probs.ndim != 2 or probs.size == 0:
        raise ValueError(f"need a map and a mask of one shape (H, W), have {probs.shape} and {mask.shape}")
    if probs.dtype.str[1:] not in KEYS:
        raise ValueError(f"a map of {probs.dtype}: use floats in [0, 1], or 8- or 16-bit codes without sign")
    if probs.dtype.kind == "f" and not (probs >= 0).all():
        raise ValueError("the map has NaN or negative values")
    if patch < 1:
        raise ValueError(f"a patch of {patch} pixels")
    search = {"exact": _exact, "grid": _grid}[thresholds]
    native: np.ndarray = probs.astype(probs.dtype.newbyteorder("="), copy=False)
    return search(native, mask, min(patch, max(probs.shape)), smooth)


def image_optimal(
    probs: Probabilities, mask: Mask, *, smooth: float = 0.0, thresholds: Literal["exact", "grid"] = "exact"
) -> PatchLabels:
    """`patch_optimal` with the whole map as one patch: the best that one threshold an image can do."""
    return patch_optimal(probs, mask, max(probs.shape), smooth=smooth, thresholds=thresholds)


def patch_targets(probs: ProbabilityMap, mask: Mask, patch: int) -> NDArray[np.float64]:
    """Each patch's best threshold by IoU, that of `patch_optimal`, as `middle_thresholds` has it.

    Args:
        probs: float32 ``(H, W)`` in [0, 1].
        mask: bool ``(H, W)``, the ground truth.
        patch: side of a patch, pixels.

    Returns:
        float64 ``(rows, columns)`` in [0, 1].
    """
    return middle_thresholds(probs, patch_optimal(probs, mask, patch).labels, patch)


def middle_thresholds(probs: ProbabilityMap, labels: Mask, patch: int) -> NDArray[np.float64]:
    """Of all thresholds that make a patch's labels one: 0.5 where that will do, else the one in the middle.

    Where one half makes the same labels, in an all-background or all-foreground patch too, it is one half. Else it is
    halfway between the highest probability that the labels leave out and the lowest that they take in: any threshold
    between makes them. Where they take none, 1 stands for the lowest; where they take all, 0 for the highest.

    Args:
        probs: float32 ``(H, W)`` in [0, 1].
        labels: bool ``(H, W)``, each patch of ``probs`` at some threshold.
        patch: side of a patch, pixels.

    Returns:
        float64 ``(rows, columns)`` in [0, 1].
    """
    middle = np.full([-(-side // patch) for side in probs.shape], DECISION)
    for cell, here in windows(probs.shape, patch):
        values, taken = probs[here], labels[here]
        if not np.array_equal(taken, values >= DECISION):
            highest = values[~taken].max(initial=0)
            lowest = values[taken].min(initial=1)
            middle[cell] = (float(highest) + float(lowest)) / 2
    return middle


def windows(shape: tuple[int, ...], patch: int) -> list[tuple[tuple[int, int], tuple[slice, slice]]]:
    """Each patch's row and column, and where its pixels are."""
    return [
        ((row, column), (slice(row * patch, (row + 1) * patch), slice(column * patch, (column + 1) * patch)))
        for row in range(-(-shape[0] // patch))
        for column in range(-(-shape[1] // patch))
    ]


def _exact(probs: np.ndarray, mask: Mask, patch: int, smooth: float) -> PatchLabels:
    levels = 256**probs.dtype.itemsize if probs.dtype.kind == "u" else 0
    scale = max(levels - 1, 1)
    grid = tuple(-(-side // patch) for side in probs.shape)
    if _worth_compiling(probs.size):
        from bench.patches.compiled import search

        wide = np.ascontiguousarray(probs, np.float32 if probs.dtype == np.float16 else probs.dtype)
        codes, ious = search(wide, np.ascontiguousarray(mask).view(np.uint8), patch, float(scale), float(smooth))
        found, chosen = codes >= 0, codes.astype(probs.dtype)
    else:
        if 0 < levels <= patch * patch:
            candidates, truth = by_histogram(probs, mask, patch, levels)
        elif patch * patch >= 4 * COARSE:  # else most counts would be 0
            candidates, truth = by_refining(probs, mask, patch, smooth)
        else:
            candidates, truth = by_sorting(probs, mask, patch)
        best, ious = _best(candidates, scale, truth, smooth)
        found, chosen = (best >= 0).reshape(grid), np.zeros(grid, probs.dtype)
        chosen[found] = candidates.value[best[best >= 0]]
    # Compare in the map's own type: a threshold of codes / 65535 need not survive the division.
    labels = probs >= spread(chosen, patch, probs.shape)
    if not found.all():
        labels &= spread(found, patch, probs.shape)
    limits = np.where(found, chosen.astype(np.float64) / scale, np.inf)
    return PatchLabels(labels, limits, ious.reshape(grid))


def _worth_compiling(pixels: int) -> bool:
    """Whether numba is there, and so many pixels were searched without it that loading it takes no longer."""
    global _searched
    _searched += pixels
    return _searched > UNCOMPILED and _has_numba()


@functools.cache
def _has_numba() -> bool:
    return find_spec("numba") is not None


def _grid(probs: np.ndarray, mask: Mask, patch: int, smooth: float) -> PatchLabels:
    """The released code's search. Counts the grid's thresholds below each pixel, then 21 levels make a histogram."""
    if probs.dtype.kind == "u":  # code > floor(t * max / 20) is code / max > t / 20 without rounding
        limits = (np.arange(1, GRID_STEPS + 1) * int(np.iinfo(probs.dtype).max) // GRID_STEPS).astype(probs.dtype)
    else:  # t / 20 in the map's own type, as the released search has it
        limits = (np.arange(1, GRID_STEPS + 1) / GRID_STEPS).astype(probs.dtype)
    passed = np.zeros(probs.shape, np.uint8)
    for limit in limits:
        passed += probs > limit
    above = histogram(passed, mask, patch, GRID_STEPS + 1).cumsum(axis=2)[:, :, ::-1]
    hits, union = above[:, 1, 1:] + smooth, above[:, 1, :1] + above[:, 0, 1:] + smooth
    ious = np.divide(hits, union, out=np.ones(union.shape), where=union > 0)
    best = ious.argmax(axis=1)
    grid = tuple(-(-side // patch) for side in probs.shape)
    labels = passed > spread(best.astype(np.uint8).reshape(grid), patch, probs.shape)
    return PatchLabels(labels, ((best + 1) / GRID_STEPS).reshape(grid), ious.max(axis=1).reshape(grid))


def _best(candidates: Candidates, scale: int, truth: np.ndarray, smooth: float) -> tuple[np.ndarray, np.ndarray]:
    """Each patch's best candidate, or -1 for the empty mask, and the IoU there."""
    patch = candidates.patch
    ious = (candidates.hits + smooth) / (truth[patch] + candidates.extra + smooth)
    # Every candidate predicts a pixel or more, so 0/0 arises for the empty mask alone.
    top = np.divide(smooth, truth + smooth, out=np.ones(len(truth)), where=truth + smooth > 0)
    if len(patch):
        first = np.append(0, 1 + np.flatnonzero(patch[1:] != patch[:-1]))
        top[patch[first]] = np.maximum(top[patch[first]], np.maximum.reduceat(ious, first))
    winners = np.flatnonzero(ious == top[patch])
    values = candidates.value[winners].astype(np.float64) / scale
    winners = winners[np.lexsort((-values, np.abs(values - 0.5), patch[winners]))]
    best = np.full(len(truth), -1)
    decided, first = np.unique(patch[winners], return_index=True)
    best[decided] = winners[first]
    return best, top
