"""Alpha matting: the map says what is certain, the image's colours decide the rest."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import ClassVar, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.contracts import (
    DECISION,
    Budget,
    Image,
    Mask,
    ProbabilityMap,
    Refiner,
    SearchSpace,
    Span,
    UserError,
)
from bench.images import resize

SMALLEST = 5
"""Pixels of a side: windows and neighbours over which colours are compared fit into no less."""

KERNEL = 10
"""Radius of the large kernels, pixels: PyMatting's."""

SOLVED = 1e-12
"""Residual at which a solution is found. By its share of the right side alone, none is where that is zero."""

UNKNOWN = 0.5
"""In a trimap; 0 is certain background, 1 certain foreground."""


class Matting(Refiner):
    """Alpha matting by PyMatting (Germer et al., JOSS 2020) on a trimap made from the map; alpha is the refined map.

    Certain are the pixels that the map is sure of and that are not near its mask's edge. They become 0 and 1; the
    others get the share of the foreground in their colour. The band of uncertain pixels along the edge reaches half as
    deep into a region, of foreground or background, as that is deep at its deepest: thin ones and holes keep their
    core. A map that leaves no certain foreground, no certain background or nothing in question stays as it is, and so
    does one under 5 pixels high or wide.

    PyMatting compiles itself when it is first imported, which takes a minute, and is kept for later.

    Args:
        method: ``cf`` closed-form (Levin et al., PAMI 2008), ``knn`` (Chen et al., PAMI 2013), ``lbdm`` learning-based
            (Zheng and Kambhamettu, ICCV 2009), ``lkm`` large kernels (He et al., CVPR 2010), ``rw`` random walks
            (Grady et al., VIIP 2005), each with PyMatting's settings; large kernels are cut to small images.
        sure_fg: from this probability on a pixel is certainly foreground, away from the edge; above 1, none is.
        sure_bg: up to this probability a pixel is certainly background, away from the edge; below 0, none is.
        band: width of what is uncertain on each side of the mask's edge, as a share of the image's diagonal, and no
            less than a pixel; with 0 the probabilities decide. At ``sure_fg=0.5,sure_bg=0.5`` the band alone does.
        side: larger images are solved with their long side at so many pixels, and alpha is enlarged, which keeps what
            is certain; 0 solves all at their own size.

    Raises:
        UserError: a number is out of range, or not sure_bg <= 0.5 <= sure_fg; at `refine`, there is no solution.
    """

    requires = ("pymatting",)
    extra = "matting"
    search_space: ClassVar[SearchSpace] = {
        "method": ("cf", "lkm", "lbdm", "rw"),  # knn takes six times as long
        "sure_fg": Span(0.5, 1.0),
        "sure_bg": Span(0.0, 0.5),
        "band": Span(0.002, 0.05, log=True),
    }
    # All of a noisy image in question; the band along an edge took a second or two.
    cost: ClassVar[Budget] = Budget(seconds=120, memory_mb=1200)

    def __init__(
        self,
        *,
        method: Literal["cf", "knn", "lbdm", "lkm", "rw"] = "cf",
        sure_fg: float = 0.9,
        sure_bg: float = 0.1,
        band: float = 0.01,
        side: int = 1024,
    ) -> None:
        if not sure_bg <= DECISION <= sure_fg:
            where = f"matting[sure_fg={sure_fg},sure_bg={sure_bg}]"
            raise UserError("what is sure would cross the decision", where, "keep sure_bg <= 0.5 <= sure_fg")
        if not 0 <= band < 1:
            raise UserError(f"band={band}", "matting", "give a share of the diagonal, from 0 to below 1")
        if side and side < SMALLEST:
            raise UserError(f"side={side}", "matting", f"give {SMALLEST} pixels or more, or 0 for an image's own size")
        self.method, self.sure_fg, self.sure_bg, self.band, self.side = method, sure_fg, sure_bg, band, side

    def refine(self, images: Sequence[Image], maps: Sequence[ProbabilityMap]) -> list[ProbabilityMap]:
        """See `bench.contracts.Refiner`."""
        return [self._refine(image, probs) for image, probs in zip(images, maps, strict=True)]

    def trimap(self, probs: ProbabilityMap) -> NDArray[np.float64]:
        """``(H, W)``: 0 certain background, 1 certain foreground, 0.5 in question."""
        mask = probs >= DECISION
        width = max(1.0, self.band * float(np.hypot(*probs.shape))) if self.band else 0.0
        far = _away_from_edge(mask, width)
        trimap = np.full(probs.shape, UNKNOWN)
        trimap[far & ~mask & (probs <= self.sure_bg)] = 0
        trimap[far & mask & (probs >= self.sure_fg)] = 1
        return trimap

    def _refine(self, image: Image, probs: ProbabilityMap) -> ProbabilityMap:
        certain = self.trimap(probs)
        trimap, pixels = certain, image
        height, width = probs.shape
        if self.side and max(height, width) > self.side:
            scale = self.side / max(height, width)
            size = max(round(height * scale), 1), max(round(width * scale), 1)
            trimap, pixels = _shrunk(certain, size), resize(image, *size)
        if min(trimap.shape) < SMALLEST or set(np.unique(trimap)) != {0, UNKNOWN, 1}:
            return probs.copy()
        alpha = self._solved(pixels, trimap)
        if trimap is not certain:
            alpha = resize(alpha, height, width)
        return np.where(certain == UNKNOWN, np.clip(alpha, 0, 1), certain).astype(np.float32)

    def _solved(self, pixels: Image, trimap: NDArray[np.float64]) -> NDArray[np.float32]:
        import numba
        import pymatting

        # It counts the cores itself, where a worker has one.
        numba.set_num_threads(1)
        estimate = getattr(pymatting, f"estimate_alpha_{self.method}")
        fitting = {"radius": min(KERNEL, (min(trimap.shape) - 1) // 4)} if self.method == "lkm" else {}
        try:
            with redirect_stdout(io.StringIO()):  # it prints how its preconditioner fares
                alpha = estimate(pixels / 255.0, trimap, laplacian_kwargs=fitting, cg_kwargs={"atol": SOLVED})
        except ValueError as error:
            said = f"no solution, {' '.join(str(error).split())[:100]}"
            raise UserError(said, f"matting[method={self.method}]", "try another method=") from None
        if not np.isfinite(alpha).all():
            raise UserError("no solution, alpha is not finite", f"matting[method={self.method}]", "try another method=")
        return alpha.astype(np.float32)


def _away_from_edge(mask: Mask, width: float) -> Mask:
    """Pixels farther than ``width`` from the other side, or than half the depth of their own 8-connected region."""
    away = np.zeros(mask.shape, np.bool_)
    for side in (mask, ~mask):
        if side.all():
            return side  # no edge
        depth = cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        count, labels = cv2.connectedComponents(side.astype(np.uint8), connectivity=8)
        deepest = np.zeros(count, np.float32)
        np.maximum.at(deepest, labels.ravel(), depth.ravel())
        away |= side & (depth > np.minimum(width, deepest[labels] / 2))
    return away


def _shrunk(trimap: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """The trimap at a smaller size: certain is what mostly is."""
    background, foreground = (resize((trimap == value).astype(np.float32), *size) > 0.5 for value in (0, 1))
    return np.where(foreground, 1.0, np.where(background, 0.0, UNKNOWN))
