"""A hand-made saliency map: what stands out from its surroundings, near the middle of the image."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Prior = Literal["contrast", "centre", "none"]

CELLS = 32
"""Regions a side."""

CONTRAST_SCALE = 0.5
"""Standard deviation of the kernel that weights the regions' contrast, in image sides."""

CENTRE_SCALE = 1 / 3
"""Standard deviation of the centre prior, in image sides."""


class SaliencyPrior(nn.Module):
    """RFCN's saliency prior, as far as it is known.

    The paper compares superpixels by colour, intensity and orientation. Here the regions are 32x32 square cells, and

    ``P = U * sigmoid(G / max G + I / max I + O / max O)``, where of every cell i

    - ``G_i = sum_j w_ij |f_i - f_j|^2 / sum_j w_ij`` with ``w_ij = exp(-|p_i - p_j|^2 / (2 * 0.5^2))``: f is the
      cell's mean colour, p its centre, the image's side being 1; ``I``, ``O`` alike of grey value and orientation;
    - ``U_i = exp(-|p_i - (0.5, 0.5)|^2 / (2 / 9))``, the centre prior.

    Orientation is the mean grey value gradient in double angle: ``|g| (cos 2a, sin 2a)``. The map is interpolated
    between the cells. The formula, but for the division by each maximum, is our reconstruction: the paper prints none.
    Cells, orientation, U and the division are choices; undivided, the largest contrast of orientation is 0.02 on
    average, of colour 0.85. On ECSSD's 1,000 images the map's mean AUC is 0.88, that of U alone 0.87.

    No gradient passes to the image.

    Args:
        kind: ``contrast`` for P, ``centre`` for U, ``none`` for zeros.
        mean, std: of the normalisation of the images, which is undone.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, kind: Prior, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """Normalised ``Bx3xSxS``, S a multiple of 32 -> ``Bx1xSxS`` in [0, 1), of the image's dtype."""
        if self.kind == "none":
            return torch.zeros_like(image[:, :1])
        # In float64, which autocast leaves alone: small differences of large numbers follow.
        places = (torch.arange(CELLS, device=image.device, dtype=torch.float64) + 0.5) / CELLS
        near = torch.exp(-(((places - 0.5) / CENTRE_SCALE) ** 2) / 2)
        prior = (near[:, None] * near).expand(len(image), 1, CELLS, CELLS)
        if self.kind == "contrast":
            prior = prior * self._stands_out(image.double(), places)
        return F.interpolate(prior, image.shape[-2:], mode="bilinear", align_corners=False).to(image.dtype)

    def _stands_out(self, image: Tensor, places: Tensor) -> Tensor:
        colour = image * self.std + self.mean
        grey = colour.mean(1, keepdim=True)
        down, right = torch.gradient(grey, dim=(-2, -1))
        strength = torch.hypot(down, right).clamp(min=1e-12)
        orientation = torch.cat([(right**2 - down**2) / strength, 2 * right * down / strength], 1)
        weights = torch.exp(-(((places[:, None] - places) / CONTRAST_SCALE) ** 2) / 2)
        weights = weights / weights.sum(1, keepdim=True)
        total = torch.zeros_like(image[:, :1, :CELLS, :CELLS])
        for feature in (colour, grey, orientation):
            contrast = _contrast(F.avg_pool2d(feature, image.shape[-1] // CELLS), weights)
            total = total + contrast / contrast.amax((-2, -1), keepdim=True).clamp(min=1e-12)
        return total.sigmoid()


def _contrast(feature: Tensor, weights: Tensor) -> Tensor:
    """``Bx1xCxC``: every cell's weighted mean squared distance to all cells; the kernel is separable."""

    def surroundings(cells: Tensor) -> Tensor:
        return weights @ cells @ weights.T

    distance = feature**2 - 2 * feature * surroundings(feature) + surroundings(feature**2)
    return distance.sum(1, keepdim=True).clamp(min=0)
