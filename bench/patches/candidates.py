"""Which thresholds of a probability map are worth trying, patch by patch: what makes the exact optimum cheap.

Three ways to the same answer. A histogram counts integer codes. For finer values a histogram of coarse levels tells
which levels can hold a patch's optimum, and only the pixels in those are sorted. Where that leaves too many, or a patch
has few pixels, all are sorted.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Mask

KEYS = {"u1": "u2", "u2": "u4", "f2": "u2", "f4": "u4", "f8": "u8"}
"""Types of a map, and of the integer that holds its values' bits and one more for the mask (floats have no sign)."""

CHUNK = 1 << 15
"""Pixels that are sorted at once: few enough to stay in a processor's cache."""

COARSE = 256
"""Levels of `by_refining`'s histogram."""

MOST_PICKED = 8
"""If more than one pixel in so many remains after the coarse levels, sorting all of them is faster."""


class Candidates(NamedTuple):
    """Thresholds worth trying, ordered by patch. All arrays have one shape ``(K,)``."""

    patch: np.ndarray
    value: np.ndarray  # in the map's own type; ``probability >= value`` predicts foreground
    hits: np.ndarray  # predicted pixels in the mask
    extra: np.ndarray  # predicted pixels outside it


def spread(values: np.ndarray, patch: int, shape: tuple[int, ...]) -> np.ndarray:
    """``(rows, columns)`` of the patch grid -> ``(H, W)``: each patch's value at each of its pixels."""
    return values.repeat(patch, axis=1)[:, : shape[1]].repeat(patch, axis=0)[: shape[0]]


def _patches(array: np.ndarray, patch: int, fill: int) -> np.ndarray:
    """``(patches, patch * patch)``, row-major, border patches filled up."""
    height, width = array.shape
    if height % patch or width % patch:
        array = np.pad(array, ((0, -height % patch), (0, -width % patch)), constant_values=fill)
    rows, columns = array.shape[0] // patch, array.shape[1] // patch
    return array.reshape(rows, patch, columns, patch).swapaxes(1, 2).reshape(rows * columns, patch * patch)


def histogram(codes: np.ndarray, mask: Mask, patch: int, levels: int) -> np.ndarray:
    """How many pixels of each patch have each code.

    Args:
        codes: uint8 or uint16 ``(H, W)``, below ``levels``.
        mask: bool ``(H, W)``.
        patch: side of a patch; those at the right and bottom border may be smaller.
        levels: number of codes.

    Returns:
        int64 ``(patches, 2, levels)``: pixels outside the mask and in it, of the highest code first.
    """
    columns = -(-codes.shape[1] // patch)
    bins = 2 * levels * columns
    # One count a pixel, of (patch column, in the mask, code). A row of patches at a time keeps the counts in the
    # processor's cache and the keys narrow.
    keys: NDArray[np.signedinteger[Any]] = mask.astype(np.int16 if bins <= 1 << 15 else np.int32)
    keys *= levels
    keys += (np.arange(codes.shape[1]) // patch * (2 * levels) + levels - 1).astype(keys.dtype)
    keys -= codes
    rows = (keys[top : top + patch] for top in range(0, len(keys), patch))
    return np.stack([np.bincount(row.ravel(), minlength=bins) for row in rows]).reshape(-1, 2, levels)


def by_histogram(codes: np.ndarray, mask: Mask, patch: int, levels: int) -> tuple[Candidates, np.ndarray]:
    """As `by_sorting`: faster where a patch has no fewer pixels than there are codes."""
    counts = histogram(codes, mask, patch, levels)
    above = counts.cumsum(axis=2)
    # A threshold that lets no pixel of the mask in only loses against the next higher one.
    at = np.flatnonzero(counts[:, 1] > 0)
    # The number of codes is a power of two: shifts and masks, in place of divisions that cost ten times as much.
    patches = at >> (levels.bit_length() - 1)
    values = (levels - 1 - (at & (levels - 1))).astype(codes.dtype)
    return Candidates(patches, values, above[:, 1].ravel()[at], above[:, 0].ravel()[at]), above[:, 1, -1]


def by_refining(probs: np.ndarray, mask: Mask, patch: int, smooth: float) -> tuple[Candidates, np.ndarray]:
    """As `by_sorting`, but a histogram of coarse levels first tells which of them can hold a patch's optimum."""
    coarse = _coarse(probs)
    counts = histogram(coarse, mask, patch, COARSE)
    above = counts.cumsum(axis=2)
    low, high = _promising(counts, above, smooth)
    grid = tuple(-(-side // patch) for side in probs.shape)
    picked = coarse >= spread(low.reshape(grid), patch, probs.shape)
    picked &= coarse <= spread(high.reshape(grid), patch, probs.shape)
    at = np.flatnonzero(picked)
    if len(at) > probs.size // MOST_PICKED:
        return by_sorting(probs, mask, patch)
    rows = at // probs.shape[1]
    patches = rows // patch * grid[1] + (at - rows * probs.shape[1]) // patch
    values, inside = np.abs(probs[picked]), mask[picked]
    # By patch, then by value: as np.lexsort, whose sort of the values is several times slower.
    order = values.argsort()
    order = order[patches[order].astype(np.min_scalar_type(len(counts))).argsort(kind="stable")]
    patches, values, inside = patches[order], values[order], inside[order]
    # In a patch, what lies at or above a value is what lies above the patch's lowest level, less what comes before.
    first = np.ones(len(at), bool)
    np.not_equal(patches[1:], patches[:-1], out=first[1:])
    starts = np.flatnonzero(first)[first.cumsum() - 1]
    passed = np.arange(len(at)) - starts
    passed_inside = inside.cumsum() - inside
    passed_inside -= passed_inside[starts]
    lowest = COARSE - 1 - low[patches].astype(np.intp)
    hits = above[patches, 1, lowest] - passed_inside
    extra = above[patches, 0, lowest] - passed + passed_inside
    first[1:] |= values[1:] != values[:-1]
    return Candidates(patches[first], values[first], hits[first], extra[first]), above[:, 1, -1]


def _promising(counts: np.ndarray, above: np.ndarray, smooth: float) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest level, uint8 ``(patches,)``, that can hold a patch's optimum; 255 and 0 where none can.

    ``counts`` and ``above``, their sums, are ``(patches, 2, COARSE)`` from the highest level on.
    """
    hits = above[:, 1] + smooth
    union = np.maximum(above[:, 1, -1:], 1) + above[:, 0]  # without truth there is nothing to find, nor 0/0
    reached = (hits / (union + smooth)).max(axis=1, keepdims=True)
    # A threshold within a level has no more hits than the level's lower end, and no fewer extras than its upper one.
    promising = (counts[:, 1] > 0) & (hits / (union - counts[:, 0] + smooth) >= reached)
    some = promising.any(axis=1)
    low = np.where(some, promising[:, ::-1].argmax(axis=1), COARSE - 1)
    high = np.where(some, COARSE - 1 - promising.argmax(axis=1), 0)
    return low.astype(np.uint8), high.astype(np.uint8)


def _coarse(probs: np.ndarray) -> np.ndarray:
    """A uint8 that never falls where the probability rises: roughly its log-odds, so that it resolves both ends."""
    shares = probs.astype(np.float32)
    if probs.dtype.kind == "u":
        shares /= np.iinfo(probs.dtype).max
    upper = shares >= 0.5
    np.minimum(shares, 1 - shares, out=shares)
    # The exponent and three bits of what follows it: 8 levels an octave, from 2^-17 up to one half.
    levels = shares.view(np.int32)
    levels >>= 20
    levels -= ((127 - 17) << 3) + 1
    lower = levels.clip(0, 127, out=levels).astype(np.uint8)
    return np.where(upper, 255 - lower, lower)


def by_sorting(probs: np.ndarray, mask: Mask, patch: int) -> tuple[Candidates, np.ndarray]:
    """The candidates of each patch, and the number of its pixels in the mask."""
    height = patch * max(1, CHUNK // (patch * probs.shape[1]))
    found, truths, before = [], [], 0
    for top in range(0, len(probs), height):
        rows = slice(top, top + height)
        candidates, truth = _sorted(probs[rows], mask[rows], patch)
        found.append(candidates._replace(patch=candidates.patch + before))
        truths.append(truth)
        before += len(truth)
    return Candidates(*map(np.concatenate, zip(*found, strict=True))), np.concatenate(truths)


def _sorted(probs: np.ndarray, mask: Mask, patch: int) -> tuple[Candidates, np.ndarray]:
    """`by_sorting` in one piece."""
    truth = np.count_nonzero(_patches(mask, patch, False), axis=1)
    # A value's bits, then 0 in the mask and 1 outside it, make one integer, which sorts several times faster than
    # indices do. Bits of floats of one sign are in the floats' order; abs() is for -0.0.
    bits = np.abs(probs).view(f"u{probs.dtype.itemsize}")
    keys = bits.astype(KEYS[probs.dtype.str[1:]])
    keys <<= 1
    keys += 2
    keys += ~mask
    # What fills border patches up is a pixel outside the mask, below all others.
    keys = _patches(keys, patch, 1)[truth > 0]
    keys.sort(axis=1)
    # On its way down a threshold gains with every pixel of the mask it lets in, and loses with every other: the best
    # one lets in the last of a run of the former.
    outside = (keys & 1).astype(bool)
    worth = ~outside
    worth[:, 1:] &= outside[:, :-1]
    at = np.flatnonzero(worth)
    rows = at // keys.shape[1]
    below = outside.cumsum(axis=1, dtype=np.int32)
    extra = below[rows, -1] - below.ravel()[at]
    hits = (rows + 1) * keys.shape[1] - at - extra
    values = ((keys.ravel()[at] - 2) >> 1).astype(bits.dtype).view(probs.dtype)
    return Candidates(np.flatnonzero(truth)[rows], values, hits, extra), truth
