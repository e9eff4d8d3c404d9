"""The exact search compiled by numba: the answers of `bench.patches.candidates`, several times as fast.

A patch takes two passes. The first counts its pixels by levels, in the mask and outside it; levels of 8-bit codes are
the codes, and all is known then. Else the counts bound what a threshold within a level can reach, and the second pass
sorts the pixels of those levels that can hold the optimum.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit, uint64

LEVELS = 256
EMPTY = -1.0
"""Stands for the threshold that leaves the mask empty."""

_Function = TypeVar("_Function", bound=Callable[..., Any])

Window = tuple[int, int, int, int]
"""First and last row of a patch, first and last column; the last ones are not in it."""

Best = tuple[float, float]
"""A threshold and its IoU."""


def compiled(function: _Function) -> _Function:
    """Compiled once for each machine and type of map, where there is a folder to keep it in."""
    try:
        faster: _Function = njit(cache=True, nogil=True)(function)
    except RuntimeError:
        faster = njit(nogil=True)(function)
    return faster


def search(
    probs: np.ndarray, mask: np.ndarray, patch: int, scale: float, smooth: float
) -> tuple[np.ndarray, np.ndarray]:
    """Each patch's best threshold, and its IoU there.

    Args:
        probs: uint8, uint16, float32 or float64 ``(H, W)``.
        mask: uint8 ``(H, W)`` of 0 and 1.
        patch: side of a patch.
        scale: the value of ``probs`` that stands for probability 1, as float64.
        smooth: added to intersection and union, as float64.

    Returns:
        Two of float64 ``(rows, columns)``: a value of ``probs``, or `EMPTY`; and the IoU.
    """
    among = _among_codes if probs.dtype == np.uint8 else _among_values
    return among(probs, mask, patch, scale, smooth)


@compiled
def _among_codes(
    probs: np.ndarray, mask: np.ndarray, patch: int, scale: float, smooth: float
) -> tuple[np.ndarray, np.ndarray]:
    """`search` of 8-bit codes, which are their own levels."""
    rows, columns = -(-probs.shape[0] // patch), -(-probs.shape[1] // patch)
    thresholds, ious = np.empty((rows, columns)), np.empty((rows, columns))
    halves = np.empty((2, 2, LEVELS), np.int32)
    for row in range(rows):
        for column in range(columns):
            at = _window(probs.shape, patch, row, column)
            truth = _count(probs, 0, mask, at, halves)
            best = (EMPTY, _of_none(truth, smooth))
            if truth > 0:
                best = _of_codes(halves[0], truth, scale, smooth, best)
            thresholds[row, column], ious[row, column] = best
    return thresholds, ious


@compiled
def _among_values(
    probs: np.ndarray, mask: np.ndarray, patch: int, scale: float, smooth: float
) -> tuple[np.ndarray, np.ndarray]:
    """`search` of what has more values than there are levels."""
    rows, columns = -(-probs.shape[0] // patch), -(-probs.shape[1] // patch)
    thresholds, ious = np.empty((rows, columns)), np.empty((rows, columns))
    levels = np.empty((min(patch, probs.shape[0]), probs.shape[1]), np.uint8)
    halves = np.empty((2, 2, LEVELS), np.int32)
    for row in range(rows):
        _level(probs[row * patch : (row + 1) * patch], scale, levels)
        for column in range(columns):
            at = _window(probs.shape, patch, row, column)
            truth = _count(levels, row * patch, mask, at, halves)
            none = _of_none(truth, smooth)
            best = (EMPTY, none)
            if truth > 0:
                first = _promising(halves[0], truth, smooth, none)
                others, own = _picked(probs, mask, levels, first, halves[0], at)
                best = _of_values(others, own, first, halves[0], truth, scale, smooth, best)
            thresholds[row, column], ious[row, column] = best
    return thresholds, ious


@compiled
def _window(shape: tuple[int, int], patch: int, row: int, column: int) -> Window:
    bottom, right = min(shape[0], (row + 1) * patch), min(shape[1], (column + 1) * patch)
    return row * patch, bottom, column * patch, right


@compiled
def _of_none(truth: int, smooth: float) -> float:
    """The empty mask's IoU. Every candidate predicts a pixel or more, so 0/0 arises here alone."""
    return smooth / (truth + smooth) if truth + smooth > 0 else 1.0


@compiled
def _level(values: np.ndarray, scale: float, levels: np.ndarray) -> None:
    """Fill levels with a uint8 that never falls where the value rises, and that resolves both ends."""
    for line in range(len(values)):
        for column in range(uint64(values.shape[1])):
            share = np.float32(values[line, column]) / np.float32(scale)
            end = max(min(share, np.float32(1) - share), np.float32(0))
            low = np.uint8(np.float32(151) * math.sqrt(math.sqrt(end)))  # at most 126
            levels[line, column] = low if share < 0.5 else np.uint8(LEVELS - 1) - low


@compiled
def _count(levels: np.ndarray, first: int, mask: np.ndarray, at: Window, halves: np.ndarray) -> int:
    """Fill ``halves[0]``, int32 ``(2, LEVELS)``: the patch's pixels outside the mask and in it, by level.

    Args:
        levels: uint8 ``(rows, W)``.
        first: row of the map that is its first one.

    Returns:
        The number of pixels in the mask.
    """
    counts = halves.reshape(-1)
    counts[:] = 0
    top, bottom, left, right = at
    # Unsigned, as numba looks at each signed index whether it counts from the end. Neighbours, whose level is often the
    # same, count in different places: an addition need not wait for the one before.
    for line in range(uint64(top), uint64(bottom)):
        for column in range(uint64(left), uint64(right)):
            half = (column & uint64(1)) << uint64(9) | uint64(mask[line, column]) << uint64(8)
            counts[half | uint64(levels[line - uint64(first), column])] += 1
    truth = 0
    for level in range(LEVELS):
        halves[0, 0, level] += halves[1, 0, level]
        halves[0, 1, level] += halves[1, 1, level]
        truth += halves[0, 1, level]
    return truth


@compiled
def _preferred(value: float, iou: float, best: Best, scale: float) -> bool:
    """Whether a threshold is better than the best so far: by IoU, then the nearer to one half, then the higher."""
    if iou != best[1] or best[0] == EMPTY:
        return iou >= best[1]
    new, old = abs(value / scale - 0.5), abs(best[0] / scale - 0.5)
    return new < old or (new == old and value > best[0])


@compiled
def _of_codes(counts: np.ndarray, truth: int, scale: float, smooth: float, best: Best) -> Best:
    """Of all codes."""
    hits, extra = 0, 0
    for level in range(LEVELS - 1, -1, -1):
        hits += counts[1, level]
        extra += counts[0, level]
        # A threshold that lets no pixel of the mask in only loses against the next higher one.
        if counts[1, level] > 0:
            iou = (hits + smooth) / (truth + extra + smooth)
            if _preferred(float(level), iou, best, scale):
                best = (float(level), iou)
    return best


@compiled
def _promising(counts: np.ndarray, truth: int, smooth: float, none: float) -> np.ndarray:
    """Where each level that can hold the optimum begins in `_picked`'s arrays, ``(2, LEVELS)``; -1 where it cannot."""
    reached, hits, extra = none, 0, 0
    for level in range(LEVELS - 1, -1, -1):
        hits += counts[1, level]
        extra += counts[0, level]
        reached = max(reached, (hits + smooth) / (truth + extra + smooth))
    first = np.full((2, LEVELS), -1)
    hits, extra, inside, outside = 0, 0, 0, 0
    for level in range(LEVELS - 1, -1, -1):
        hits += counts[1, level]
        # A threshold within a level has no more hits than the level's lower end, and no fewer extras than its upper.
        if counts[1, level] > 0 and (hits + smooth) / (truth + extra + smooth) >= reached:
            first[0, level], first[1, level] = outside, inside
            outside += counts[0, level]
            inside += counts[1, level]
        extra += counts[0, level]
    return first


@compiled
def _picked(
    probs: np.ndarray, mask: np.ndarray, levels: np.ndarray, first: np.ndarray, counts: np.ndarray, at: Window
) -> tuple[np.ndarray, np.ndarray]:
    """float64 ``(N,)`` and ``(M,)``: values outside the mask and in it of levels that `_promising` names, the highest
    first, which is less them."""
    top, bottom, left, right = at
    inside = outside = 0
    for level in range(LEVELS):
        if first[0, level] >= 0:
            outside = max(outside, first[0, level] + counts[0, level])
            inside = max(inside, first[1, level] + counts[1, level])
    others, own, place = np.empty(outside), np.empty(inside), first.copy()
    for line in range(uint64(top), uint64(bottom)):
        for column in range(uint64(left), uint64(right)):
            level = levels[line - uint64(top), column]
            if first[0, level] >= 0:
                value, side = -abs(np.float64(probs[line, column])), mask[line, column]
                (own if side else others)[place[side, level]] = value
                place[side, level] += 1
    others.sort()
    own.sort()
    return others, own


@compiled
def _of_values(
    others: np.ndarray,
    own: np.ndarray,
    first: np.ndarray,
    counts: np.ndarray,
    truth: int,
    scale: float,
    smooth: float,
    best: Best,
) -> Best:
    """Of the picked values; counts tell what lies above their levels."""
    hits, extra = 0, 0
    for level in range(LEVELS - 1, -1, -1):
        if first[0, level] >= 0:
            start, passed = first[1, level], first[0, level]
            last = passed + counts[0, level]
            for index in range(start, start + counts[1, level]):
                if index + 1 < len(own) and own[index + 1] == own[index]:
                    continue  # the threshold lets in all that are alike
                while passed < last and others[passed] <= own[index]:
                    passed += 1
                union = truth + extra + passed - first[0, level]
                iou = (hits + index + 1 - start + smooth) / (union + smooth)
                if _preferred(-own[index], iou, best, scale):
                    best = (-own[index], iou)
        hits += counts[1, level]
        extra += counts[0, level]
    return best
