"""Where a map's probabilities are too high or too low: by position, by patch and by level.

PatchRefineNet's paper says that base maps are biased patch-wise. Here that is measured, for one image, as one vector of
fixed length, mostly of counts and sums: so a whole set's histograms and calibration follow exactly from its images'
vectors (`bench.reports.bias`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.contracts import DECISION, Mask, Metric, ProbabilityMap, UserError
from bench.patches import middle_thresholds, patch_optimal

GRID = 8
"""Rows and columns of image positions."""

LEVELS = 15
"""Bins of the calibration, of equal width."""

BIASED = 0.05
"""A patch is biased where its mean signed error is beyond this. At a side of 64 px it is what a straight contour across
the patch costs that lies 3.2 px off: a smaller error is one of contours, not of a region."""

BIASES = np.round(np.linspace(-1, 1, 21), 1)
"""Centres of the bins of patch bias, 0.1 wide: the middle one holds the patches that are not biased."""

UNBIASED = len(BIASES) // 2
"""Index of that one."""

HALVES = 10
"""Bins of thresholds on either side of one half, 0.05 wide."""

THRESHOLDS = np.round(np.concatenate([np.linspace(0, 0.5, HALVES + 1), np.linspace(0.5, 1, HALVES + 1)]), 2)
"""Edges of the bins of thresholds. The middle one has no width: it holds the patches that one half is best for. The
others hold the edge that is farther from one half, so that the bins of one side mirror those of the other."""

LAYOUT: Mapping[str, tuple[int, ...]] = {
    "error": (GRID, GRID),
    "patches": (3,),
    "absolute": (1,),
    "bias": (len(BIASES),),
    "thresholds": (len(THRESHOLDS) - 1,),
    "gain": (1,),
    "pixels": (LEVELS,),
    "probability": (LEVELS,),
    "truth": (LEVELS,),
}
"""The parts of the vector, one after the other, and their shapes; what each is: `Parts`."""

SIZE = sum(math.prod(shape) for shape in LAYOUT.values())


class Parts(NamedTuple):
    """The vector of one image by its parts, each float64; or of N images, each with ``N`` before its shape.

    Signed errors are map minus truth: above zero where the map's probabilities are too high.

    Attributes:
        error: ``(8, 8)`` mean signed error of the pixels at each position of the image, from its top left corner; NaN
            where the image has no pixel there, which is below 8 pixels of height or width.
        patches: ``(3,)`` number of patches that hold foreground and background, background alone, foreground alone.
        absolute: ``(1,)`` sum over the patches of the absolute value of their mean signed error.
        bias: ``(21,)`` number of patches by their mean signed error, see `BIASES`.
        thresholds: ``(21,)`` number of patches that hold foreground and background by their best threshold, see
            `THRESHOLDS`.
        gain: ``(1,)`` sum over the same patches of the IoU at their best threshold minus that at one half.
        pixels: ``(15,)`` number of pixels whose probability is in [k/15, (k+1)/15), the last bin with 1.
        probability: ``(15,)`` sum of their probabilities.
        truth: ``(15,)`` number of them that are foreground.
    """

    error: NDArray[np.float64]
    patches: NDArray[np.float64]
    absolute: NDArray[np.float64]
    bias: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    gain: NDArray[np.float64]
    pixels: NDArray[np.float64]
    probability: NDArray[np.float64]
    truth: NDArray[np.float64]


def parts(vectors: NDArray[np.float64]) -> Parts:
    """The parts of one vector ``(156,)``, or of some, ``(N, 156)``. Raises ValueError where it has another length."""
    if vectors.shape[-1:] != (SIZE,):
        raise ValueError(f"expected vectors of {SIZE} numbers, got shape {vectors.shape}")
    ends = np.cumsum([math.prod(shape) for shape in LAYOUT.values()])
    pieces = np.split(vectors, ends[:-1], axis=-1)
    shapes = LAYOUT.values()
    return Parts(*(piece.reshape(*vectors.shape[:-1], *shape) for piece, shape in zip(pieces, shapes, strict=True)))


def bias(probs: ProbabilityMap, mask: Mask, patch: int) -> Parts:
    """Where one map's probabilities are too high or too low.

    Patches tile the image from its top left corner; those at the right and bottom border may be smaller, and count as
    much as the others. A patch's best threshold is one half where no other has a higher IoU; else the one that
    PatchRefineNet's pseudo-labels have (`bench.patches.patch_optimal`), of all that make the same mask the middle one
    (`bench.patches.middle_thresholds`). It tells nothing in a patch of background or foreground alone: those are
    counted apart.

    Args:
        probs: float32 ``(H, W)`` in [0, 1].
        mask: bool ``(H, W)``, the ground truth.
        patch: side of a patch in pixels, at least 1.

    Example:
        >>> probs = np.array([[0.9, 0.4, 0.1, 0.0], [0.3, 0.2, 0.0, 0.0]], np.float32)
        >>> found = bias(probs, np.array([[1, 1, 0, 0], [0, 0, 0, 0]], bool), 2)
        >>> found.patches, found.absolute.round(3)  # the left patch is too low by 0.05, the right one too high by 0.025
        (array([1., 1., 0.]), array([0.075]))
        >>> THRESHOLDS[:-1][found.thresholds > 0]  # the left one's is 0.35
        array([0.35])
        >>> found.gain  # from an IoU of 1 / 2 to 1
        array([0.5])
    """
    error = probs.astype(np.float64) - mask
    best = patch_optimal(probs, mask, patch)
    of_patches = _Tiling([np.arange(side) // patch for side in probs.shape], best.thresholds.shape)
    of_positions = _Tiling([_positions(side) for side in probs.shape], (GRID, GRID))
    means = of_patches.sums(error) / of_patches.areas()
    cells = of_positions.areas()
    truth = of_patches.sums(mask)
    empty, full = truth == 0, truth == of_patches.areas()
    mixed = ~empty & ~full
    at_half = of_patches.sums((probs >= DECISION) & mask) / np.maximum(of_patches.sums((probs >= DECISION) | mask), 1)
    better = best.ious > at_half  # both are quotients of two whole numbers, and equal where those are
    thresholds = np.where(better, middle_thresholds(probs, best.labels, patch), DECISION)
    pixels, probability, foreground = _calibration(probs, mask)
    return Parts(
        error=np.divide(of_positions.sums(error), cells, out=np.full(cells.shape, np.nan), where=cells > 0),
        patches=np.array([mixed.sum(), empty.sum(), full.sum()], np.float64),
        absolute=np.array([np.abs(means).sum()]),
        bias=_counted(np.rint(means * 10).astype(np.intp) + UNBIASED, len(BIASES)),
        thresholds=_counted(_bins(thresholds[mixed]), len(THRESHOLDS) - 1),
        gain=np.array([(best.ious - at_half)[mixed].sum()]),
        pixels=pixels,
        probability=probability,
        truth=foreground,
    )


class Bias(Metric):
    """Where the map's probabilities are too high or too low: what ``bench report --bias`` is made of.

    Its vector has 156 numbers an image, see `bench.metrics.bias.Parts`: signed errors by position and by patch, the
    patches' best thresholds, and calibration. Tables do not show it.

    Args:
        patch: side of a patch in pixels of the image itself; the paper's is 64.

    Raises:
        UserError: a side under 1.
    """

    title = "Bias"
    meaning = "where probabilities are too high or too low, for bench report --bias"
    better = "lower"
    scale = 1.0
    digits = 3
    curve = SIZE
    summary = "none"

    def __init__(self, *, patch: int = 64) -> None:
        if patch < 1:
            raise UserError(f"a patch of {patch}", f"bias[patch={patch}]", "use a side of 1 pixel or more")
        self.patch = patch

    def __call__(self, probs: ProbabilityMap, mask: Mask) -> NDArray[np.float64]:
        """float64 ``(156,)``."""
        return np.concatenate([part.ravel() for part in bias(probs, mask, self.patch)])


class _Tiling:
    """A map cut into rows and columns of tiles; a product of matrices sums the pixels of each up.

    Args:
        of: ``(H,)`` and ``(W,)``: the row of tiles that each row of pixels belongs to, and so of columns.
        grid: number of rows and columns of tiles.
    """

    def __init__(self, of: Sequence[NDArray[np.intp]], grid: tuple[int, ...]) -> None:
        self.rows, self.columns = (
            (np.arange(count)[:, None] == tiles).astype(np.float64) for tiles, count in zip(of, grid, strict=True)
        )

    def sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """``(H, W)`` -> one sum a tile, 0 of a tile without pixels."""
        found: NDArray[np.float64] = self.rows @ values.astype(np.float64) @ self.columns.T
        return found

    def areas(self) -> NDArray[np.float64]:
        """Number of pixels of each tile."""
        return np.outer(self.rows.sum(axis=1), self.columns.sum(axis=1))


def _positions(side: int) -> NDArray[np.intp]:
    """Of each row or column of pixels, which of the 8 positions it is at: position k begins at round(k * side / 8)."""
    starts = np.rint(np.arange(GRID) * side / GRID)
    return np.searchsorted(starts, np.arange(side), side="right") - 1


def _calibration(probs: ProbabilityMap, mask: Mask) -> Iterator[NDArray[np.float64]]:
    """See `Parts`: pixels, probability, truth."""
    flat = probs.ravel().astype(np.float64)
    levels = np.minimum((flat * LEVELS).astype(np.intp), LEVELS - 1)
    for weights in (None, flat, mask.ravel()):
        yield np.bincount(levels, weights, LEVELS).astype(np.float64)


def _bins(thresholds: NDArray[np.float64]) -> NDArray[np.intp]:
    """The bin of each, see `THRESHOLDS`."""
    below = np.searchsorted(THRESHOLDS[: HALVES + 1], thresholds, side="right") - 1
    above = np.searchsorted(THRESHOLDS[HALVES + 1 :], thresholds, side="left") + HALVES
    return np.where(thresholds > DECISION, above, below)


def _counted(bins: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    return np.bincount(bins.ravel(), minlength=count).astype(np.float64)
