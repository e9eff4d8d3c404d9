"""The fast bilateral solver (Barron and Poole, ECCV 2016), on scipy's sparse matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import cv2
import numpy as np

from bench.contracts import Budget, Image, ProbabilityMap, Refiner, SearchSpace, Span, UserError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

AXES = 5
"""Dimensions of the bilateral grid: x, y, luma and two of chroma."""

CONFIDENCE_FLOOR = 1e-3
"""An undecided pixel still weighs this much, so that the system stays positive definite."""

BALANCING_STEPS, BALANCED = 100, 1e-8
"""At most so many steps of bistochastisation, fewer once the relative change is below."""

SOLVER_STEPS, SOLVED = 1000, 1e-6
"""At most so many conjugate gradient steps, fewer once the relative residual is below."""


class FastBilateralSolver(Refiner):
    """Fast bilateral solver: the smoothest map, along the image's colours, that is still near the given one.

    Minimises (the paper's Eq. 1) half of lam times the sum over pixel pairs of W (x_i - x_j)^2, plus the sum over
    pixels of c_i (x_i - t_i)^2, where W is the bistochastic affinity of a bilateral grid, t the map and c its
    confidence. The defaults are those of the authors' released code; unsupervised segmentation takes coarser cells for
    its far coarser masks (16, 16, 8, 256 in TokenCut, Wang et al. 2022).

    Args:
        sigma_spatial: side of the grid's cells, pixels.
        sigma_luma: their side in luma, 0..255.
        sigma_chroma: their side in both chroma axes, 0..255.
        lam: weight of smoothness against the given map.
        confidence_power: c is ``|2p - 1|`` to this power, at least 0.001. At 0 all pixels are trusted alike.

    Raises:
        UserError: a sigma under 1, or another parameter under 0.
    """

    search_space: ClassVar[SearchSpace] = {
        "sigma_spatial": Span(4.0, 32.0, log=True),
        "sigma_luma": Span(2.0, 32.0, log=True),
        "sigma_chroma": Span(2.0, 32.0, log=True),
        "lam": Span(1.0, 1024.0, log=True),
        "confidence_power": Span(0.0, 4.0),
    }
    cost = Budget(seconds=1.5, memory_mb=200)

    def __init__(
        self,
        *,
        sigma_spatial: float = 8.0,
        sigma_luma: float = 4.0,
        sigma_chroma: float = 4.0,
        lam: float = 128.0,
        confidence_power: float = 1.0,
    ) -> None:
        sigmas = {"sigma_spatial": sigma_spatial, "sigma_luma": sigma_luma, "sigma_chroma": sigma_chroma}
        at_least = {**dict.fromkeys(sigmas, 1), "lam": 0, "confidence_power": 0}
        for name, value in {**sigmas, "lam": lam, "confidence_power": confidence_power}.items():
            if not value >= at_least[name]:
                where = f"fast-bilateral-solver[{name}={value}]"
                raise UserError(f"a {name} of {value}", where, f"use {at_least[name]} or more")
        self.cell = np.array([sigma_spatial, sigma_spatial, sigma_luma, sigma_chroma, sigma_chroma])
        self.lam, self.confidence_power = lam, confidence_power

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """See `bench.contracts.Refiner`."""
        return [self._refine(image, probs) for image, probs in zip(images, maps, strict=True)]

    def _refine(self, image: Image, probs: ProbabilityMap) -> ProbabilityMap:
        target = probs.astype(np.float64)
        confidence = np.maximum(np.abs(2 * target - 1) ** self.confidence_power, CONFIDENCE_FLOOR)
        solved = solve(bilateral_grid(image, self.cell), target, confidence, self.lam)
        # The minimiser is a weighted mean of the map; what is outside its range is the solver's tolerance.
        return np.clip(solved, probs.min(), probs.max()).astype(np.float32)


@dataclass(frozen=True, slots=True)
class BilateralGrid:
    """The occupied cells of an image's bilateral grid.

    Attributes:
        cell_of: int64 ``(H, W)``: the cell, from 0, that each pixel falls in.
        pixels: float64 ``(cells,)``: how many do.
        blur: ``(cells, cells)``: the sum over the axes of a [1, 2, 1] filter.
    """

    cell_of: np.ndarray
    pixels: np.ndarray
    blur: csr_array

    def splat(self, values: np.ndarray) -> np.ndarray:
        """Sum of the values ``(H, W)`` in each cell."""
        return np.bincount(self.cell_of.ravel(), values.ravel(), len(self.pixels))


def bilateral_grid(image: Image, cell: np.ndarray) -> BilateralGrid:
    """Assign each pixel to the nearest cell below it, without interpolation (the paper's simplified grid).

    Args:
        image: uint8 ``(H, W, 3)`` RGB; luma and chroma are those of JPEG (BT.601, full range).
        cell: ``(5,)`` sides of a cell in y and x (pixels), luma and two chromas (0..255), each at least 1.
    """
    from scipy.sparse import coo_array, eye_array

    height, width = image.shape[:2]
    places = np.moveaxis(np.indices((height, width)), 0, -1)
    coordinates = np.concatenate([places, cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb)], axis=-1).reshape(-1, AXES)
    indices = (coordinates // cell).astype(np.int64)
    # One free cell along each axis, so that a step beyond its end meets no cell of the next row.
    extent = indices.max(axis=0) + 2
    strides = np.concatenate([extent[:0:-1].cumprod()[::-1], [1]])
    keys, cell_of, pixels = np.unique(indices @ strides, return_inverse=True, return_counts=True)
    neighbours = [np.searchsorted(keys, keys + stride) for stride in strides]
    exists = [keys[np.minimum(at, len(keys) - 1)] == keys + s for at, s in zip(neighbours, strides, strict=True)]
    rows = np.concatenate([np.flatnonzero(there) for there in exists])
    columns = np.concatenate([at[there] for at, there in zip(neighbours, exists, strict=True)])
    steps = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(keys), len(keys))).tocsr()
    blur = 2 * AXES * eye_array(len(keys), format="csr") + steps + steps.T
    return BilateralGrid(cell_of.reshape(height, width), pixels.astype(np.float64), blur.tocsr())


def solve(grid: BilateralGrid, target: np.ndarray, confidence: np.ndarray, lam: float) -> np.ndarray:
    """Minimise the objective over maps that are constant in each cell (the paper's section 2).

    The system is solved by conjugate gradients with a Jacobi preconditioner, from the cells' own weighted means.

    Args:
        grid: of the image.
        target: float64 ``(H, W)``.
        confidence: float64 ``(H, W)``, positive.
        lam: weight of smoothness.

    Returns:
        float64 ``(H, W)``.
    """
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import cg

    scale = _balance(grid)
    # In place of the pixel counts, which it equals up to the tolerance: constant maps then cost exactly nothing.
    degree = scale * (grid.blur @ scale)
    weight, weighted = grid.splat(confidence), grid.splat(confidence * target)
    scaling = diags_array(scale)
    system = (diags_array(lam * degree + weight) - lam * (scaling @ grid.blur @ scaling)).tocsr()
    jacobi = diags_array(1 / system.diagonal())
    cells, _ = cg(system, weighted, x0=weighted / weight, rtol=SOLVED, maxiter=SOLVER_STEPS, M=jacobi)
    return cells[grid.cell_of]


def _balance(grid: BilateralGrid) -> np.ndarray:
    """``(cells,)`` n with n * (B n) = the pixel counts: it makes splat, blur and slice bistochastic."""
    scale = np.ones_like(grid.pixels)
    for _ in range(BALANCING_STEPS):
        before, scale = scale, np.sqrt(scale * grid.pixels / (grid.blur @ scale))
        if np.abs(scale / before - 1).max() < BALANCED:
            break
    return scale
