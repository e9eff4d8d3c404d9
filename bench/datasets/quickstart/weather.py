"""Haze, shadow and tree canopy that lie over parts of a drawn scene.

They are what makes the scenes worth refining: a network that segments roads is less sure of them inside such a
region than outside, so no one threshold suits the whole image.
"""

from __future__ import annotations

import numpy as np

from bench.datasets.quickstart.canvas import Canvas, Floats

HAZE = np.array((196, 202, 208), np.float32)
TREES = np.array((48, 68, 42), np.float32)
ABSORBED = np.array((1, 0.95, 0.85), np.float32)
"""Shares of the light that a shadow takes: it is a little blue."""


def disturb(canvas: Canvas, courses: list[Floats], severity: float) -> None:
    """Lay canopy, cloud shadow and haze over regions of the scene, in this order.

    Args:
        canvas: a scene with its roads.
        courses: of the roads; trees gather along them.
        severity: in [0, 1]; 0 leaves only single trees.
    """
    rng = canvas.rng
    _canopy(canvas, courses, severity * rng.uniform(0.3, 1))
    if rng.random() < 0.8:
        shadow = _regions(canvas) * np.float32(severity * rng.uniform(0.5, 0.8))
        canvas.colour *= 1 - shadow[..., None] * ABSORBED
    if rng.random() < 0.8:
        canvas.paint(_regions(canvas) * np.float32(severity * rng.uniform(0.5, 0.85)), HAZE)


def _regions(canvas: Canvas) -> Floats:
    """float32 ``(side, side)`` in [0, 1]: one to three soft blobs, a quarter to a half of the side across."""
    rng, side = canvas.rng, canvas.side
    ragged = np.float32(0.25) * canvas.noise(6)
    depth = np.zeros((side, side), np.float32)
    for _ in range(rng.integers(1, 4)):
        x, y = (rng.uniform(0.05, 0.95, 2) * side).tolist()
        radii = (rng.uniform(0.14, 0.3, 2) * side).tolist()
        distance = np.sqrt(((canvas.columns - x) / radii[0]) ** 2 + ((canvas.rows - y) / radii[1]) ** 2) + ragged
        np.maximum(depth, np.clip((1.25 - distance) / 0.5, 0, 1), out=depth)
    return (depth * depth * (3 - 2 * depth)).astype(np.float32)


def _canopy(canvas: Canvas, courses: list[Floats], density: float) -> None:
    """Trees: a few anywhere, many along the roads where one of the regions lies."""
    rng, side, unit = canvas.rng, canvas.side, canvas.unit
    anywhere = rng.uniform(0, side, (int(rng.integers(0, 12)), 2))
    along = np.concatenate(courses)
    count = int(500 * density)
    beside = along[rng.integers(0, len(along), count)] + rng.normal(0, 4 * unit, (count, 2))
    column, row = np.clip(beside.astype(int), 0, side - 1).T
    kept = beside[_regions(canvas)[row, column] > rng.uniform(0, 1, count)]
    centres = np.concatenate([anywhere, kept]).astype(np.float32)
    radii = (rng.uniform(1, 3, len(centres)) * unit).astype(np.float32)
    crown = canvas.tint(TREES, 8) + np.float32(10) * canvas.noise(side // 2)[..., None]
    canvas.paint(canvas.discs(centres + unit, radii) * np.float32(0.35), np.zeros(3, np.float32))
    canvas.paint(canvas.discs(centres, radii) * np.float32(0.95), crown)
