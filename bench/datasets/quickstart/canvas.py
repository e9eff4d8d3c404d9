"""What the drawn scenes are painted on: soft brushes, smooth noise and bent lines, all from one generator."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

BITS = 4
"""Fractional bits of the coordinates that OpenCV draws with."""


class Canvas:
    """A square scene in the making.

    Args:
        rng: where all randomness comes from.
        side: pixels a side.

    Attributes:
        colour: float32 ``(side, side, 3)``, RGB in 0..255 (not clipped while painting).
        roads: float32 ``(side, side)``, how much of each pixel is road, in [0, 1].
        rows, columns: float32 ``(side, side)``, coordinates of each pixel.
        unit: lengths are thought of at 96 pixels a side; this is the factor to this canvas.
    """

    def __init__(self, rng: np.random.Generator, side: int) -> None:
        self.rng, self.side, self.unit = rng, side, side / 96
        self.rows, self.columns = np.mgrid[0:side, 0:side].astype(np.float32)
        self.colour = np.zeros((side, side, 3), np.float32)
        self.roads = np.zeros((side, side), np.float32)

    def noise(self, cells: int) -> Floats:
        """float32 ``(side, side)``: smooth noise of ``cells`` bumps a side, mean 0, deviation just under 1."""
        coarse = self.rng.standard_normal((cells + 1, cells + 1), np.float32)
        return np.asarray(cv2.resize(coarse, (self.side, self.side), interpolation=cv2.INTER_CUBIC), np.float32)

    def tint(self, colour: Floats, spread: float) -> Floats:
        """A colour ``(3,)`` near the given one: mostly lighter or darker, a little of another hue."""
        shift = self.rng.normal(0, spread) + self.rng.normal(0, spread / 3, 3)
        return (colour + shift).astype(np.float32)

    def paint(self, cover: Floats, colour: Floats) -> None:
        """Blend ``colour``, ``(3,)`` or one a pixel, over the scene by ``cover``, ``(side, side)`` in [0, 1]."""
        self.colour += np.asarray(cover, np.float32)[..., None] * (np.asarray(colour, np.float32) - self.colour)

    def line(self, points: Floats, width: float) -> Floats:
        """Cover in [0, 1] of a line, ``width`` pixels wide, through points ``(N, 2)`` of (x, y)."""
        cover = np.zeros((self.side, self.side), np.uint8)
        cv2.polylines(cover, [_fixed(points)], False, 255, max(1, round(width)), cv2.LINE_AA, BITS)
        return _fraction(cover)

    def polygon(self, points: Floats) -> Floats:
        """Cover in [0, 1] of a convex polygon with corners ``(N, 2)`` of (x, y)."""
        cover = np.zeros((self.side, self.side), np.uint8)
        cv2.fillConvexPoly(cover, _fixed(points), 255, cv2.LINE_AA, BITS)
        return _fraction(cover)

    def discs(self, centres: Floats, radii: Floats) -> Floats:
        """Cover in [0, 1] of discs with centres ``(N, 2)`` of (x, y) and radii ``(N,)`` in pixels."""
        cover = np.zeros((self.side, self.side), np.uint8)
        scaled = np.rint(radii * (1 << BITS)).astype(int).tolist()
        for centre, radius in zip(_fixed(centres).tolist(), scaled, strict=True):
            cv2.circle(cover, centre, radius, 255, -1, cv2.LINE_AA, BITS)
        return _fraction(cover)

    def course(self, bend: float) -> Floats:
        """float32 ``(24, 2)``: (x, y) points of a line from border to border; ``bend`` 0 is straight."""
        rng = self.rng
        angle = rng.uniform(0, np.pi)
        along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        middle = rng.uniform(0.2, 0.8, 2) * self.side
        t = np.linspace(-1, 1, 24)[:, None]
        sway = bend * (rng.normal() * (t**2 - 0.3) + rng.normal() * np.sin(np.pi * t) / 2) * 0.3
        return (middle + (along * t + across * sway) * self.side).astype(np.float32)


def _fixed(points: Floats) -> NDArray[np.int32]:
    return np.rint(points * (1 << BITS)).astype(np.int32)


def _fraction(cover: NDArray[np.uint8]) -> Floats:
    return np.asarray(cover / np.float32(255), np.float32)
