"""What a map's float32 values stand for: the levels of the file that a toolbox for salient objects would read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

EIGHT_BIT = np.arange(256) / 255
"""``(256,)`` float64: the value of each 8-bit level."""

STRIP = 65536
"""Pixels that are worked on together, so that what lies between two passes stays in the cache."""


def stretched(probs: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The map ``(H, W)`` stretched to [0, 1], ``(p - min) / (max - min)``; a constant one as it is.

    Example:
        >>> import numpy as np
        >>> from bench.metrics.levels import stretched
        >>> stretched(np.array([[0.25, 0.5, 0.75]])).tolist(), stretched(np.array([[0.25]])).tolist()
        ([[0.0, 0.5, 1.0]], [[0.25]])
    """
    codes = eight_bit_codes(probs)
    if codes is not None:
        return _looked_up(codes, _stretch(EIGHT_BIT.copy(), EIGHT_BIT[codes.min()], EIGHT_BIT[codes.max()]))
    levels = _sixteen_bit_levels(probs)
    return _stretch(levels, levels.min(), levels.max())


def as_stored(probs: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """The map in float64, with those values exact that float32 rounded from an 8-bit or 16-bit level.

    The toolbox reads levels v and computes v / 255 in float64. After a stretch, single precision would put some of them
    on the other side of a threshold.
    """
    codes = eight_bit_codes(probs)
    return _sixteen_bit_levels(probs) if codes is None else _looked_up(codes, EIGHT_BIT)


def eight_bit_codes(probs: NDArray[np.floating[Any]]) -> NDArray[np.uint8] | None:
    """The levels ``(H, W)`` of a map all of whose values float32 rounded from 8-bit ones; None of another map."""
    import cv2  # late: the command line reads the table of metrics, and must not wait for it

    if probs.dtype != np.float32:
        return None
    codes = np.empty(probs.shape, np.uint8)
    for strip in _strips(probs.shape):
        cv2.convertScaleAbs(probs[strip], codes[strip], alpha=255)
        if not np.array_equal(np.divide(codes[strip], 255, dtype=np.float32), probs[strip]):
            return None
    return codes


def _looked_up(codes: NDArray[np.uint8], values: NDArray[np.float64]) -> NDArray[np.float64]:
    import cv2

    return np.asarray(cv2.LUT(codes, values), np.float64)


def _sixteen_bit_levels(probs: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    if probs.dtype != np.float32:
        return probs.astype(np.float64, order="C")
    levels = np.empty(probs.shape)
    for strip in _strips(probs.shape):
        given, found = probs[strip], levels[strip]
        # In float32 too, a quotient of whole numbers below 2^24 is rounded once.
        codes = np.rint(given * np.float32(65535))
        stored = codes / np.float32(65535) == given  # an 8-bit v / 255 is 257 v / 65535
        if stored.all():
            np.divide(codes, 65535, out=found, dtype=np.float64)
        else:
            found[...] = given
            at = np.flatnonzero(stored)
            found.ravel()[at] = codes.ravel()[at].astype(np.float64) / 65535
    return levels


def _stretch(levels: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """In place."""
    if low != high:
        levels -= low
        levels /= high - low
    return levels


def _strips(shape: tuple[int, ...]) -> Iterator[slice]:
    rows = max(1, STRIP // shape[1])
    return (slice(top, top + rows) for top in range(0, shape[0], rows))
