"""Drawn aerial scenes: fields, rivers, roads and houses, and the mask of the roads."""

from __future__ import annotations

import cv2
import numpy as np

from bench.contracts import Image, Mask
from bench.datasets.quickstart import weather
from bench.datasets.quickstart.canvas import Canvas, Floats

VERSION = 1
"""Raised when the same seed gives another picture."""

GREENS = [(92, 112, 62), (118, 132, 80), (74, 94, 58), (58, 78, 50)]
SOILS = [(150, 146, 98), (168, 148, 112), (136, 116, 88), (186, 170, 132)]
FIELDS = np.array(GREENS + SOILS, np.float32)
BRIGHT = np.array((196, 180, 142), np.float32)
HEDGE = np.array((46, 66, 40), np.float32)
WATER = np.array((70, 88, 92), np.float32)
PAVINGS = np.array([(112, 112, 114), (136, 134, 132), (92, 92, 98), (160, 156, 150), (172, 156, 128)], np.float32)
BLACK = np.zeros(3, np.float32)
ROOFS = np.array([(188, 184, 178), (148, 92, 76), (120, 118, 122), (208, 204, 198), (134, 112, 96)], np.float32)


def draw(rng: np.random.Generator, side: int, severity: float) -> tuple[Image, Mask]:
    """One scene.

    Args:
        rng: decides everything; the same state gives the same scene.
        side: pixels a side.
        severity: how strong haze, shadow and canopy become, in [0, 1].

    Returns:
        uint8 ``(side, side, 3)`` RGB, and bool ``(side, side)``: every road pixel, also where haze, shadow or
        trees hide it, as a labeller would complete it.
    """
    canvas = Canvas(rng, side)
    _fields(canvas)
    if rng.random() < 0.25:
        canvas.paint(canvas.line(canvas.course(1.2), rng.uniform(4, 9) * canvas.unit), canvas.tint(WATER, 8))
    for _ in range(rng.integers(0, 3)):  # farm tracks: labellers leave them out
        canvas.paint(canvas.line(canvas.course(0.6), canvas.unit) * np.float32(0.5), canvas.tint(BRIGHT, 8))
    courses = _roads(canvas)
    _houses(canvas, courses)
    weather.disturb(canvas, courses, severity)
    light = np.float32(1 + 0.08 * rng.normal()) + np.float32(0.06) * canvas.noise(2)
    grain = rng.standard_normal(canvas.colour.shape, np.float32) * np.float32(rng.uniform(1, 4))
    colour = cv2.GaussianBlur(canvas.colour, (3, 3), rng.uniform(0.3, 0.8)) * light[..., None] + grain
    return np.clip(colour, 0, 255).astype(np.uint8), canvas.roads >= 0.5


def _fields(canvas: Canvas) -> None:
    """A patchwork: the nearest of a few centres in a turned, stretched plane; each has its colour and furrows."""
    rng, side = canvas.rng, canvas.side
    count, turn, stretch = int(rng.integers(5, 14)), rng.uniform(0, np.pi), rng.uniform(1, 2.5)
    x, y = rng.uniform(-0.2, 1.2, (2, count)) * side
    wobble = canvas.noise(4) * np.float32(2 * canvas.unit)
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    along = (canvas.columns * cos + canvas.rows * sin + wobble) * np.float32(stretch)
    across = canvas.rows * cos - canvas.columns * sin + wobble
    centres = np.stack([(x * cos + y * sin) * stretch, y * cos - x * sin], axis=1).astype(np.float32)
    to_centre = np.stack([(along - u) ** 2 + (across - v) ** 2 for u, v in centres])
    label = to_centre.argmin(axis=0)

    colours = np.stack([canvas.tint(colour, 10) for colour in FIELDS[rng.integers(0, len(FIELDS), count)]])
    depth, coarseness = rng.uniform((0, 2), (9, 9), (count, 2)).astype(np.float32).T
    furrows = np.sin(across * np.float32(rng.uniform(0.7, 1.8) / canvas.unit)) * depth[label]
    soil = coarseness[label] * (canvas.noise(side // 3) + canvas.noise(side // 8))
    canvas.colour[:] = colours[label] + (furrows + soil)[..., None]

    # Hedges or bright paths between the fields: they look like roads and are none.
    edge = np.zeros(label.shape, np.float32)
    edge[:, 1:] += label[:, 1:] != label[:, :-1]
    edge[1:] += label[1:] != label[:-1]
    visible = rng.uniform(0, 0.8, count).astype(np.float32)[label]
    soft = np.asarray(cv2.GaussianBlur(np.minimum(edge, 1), (3, 3), 0), np.float32)
    canvas.paint(soft * visible, HEDGE if rng.random() < 0.5 else canvas.tint(BRIGHT, 8))


def _roads(canvas: Canvas) -> list[Floats]:
    """Draw streets in a grid, or up to three curves that cross; return their courses."""
    rng = canvas.rng
    if rng.random() < 0.25:
        main = canvas.course(0.15)
        ahead = (main[-1] - main[0]) / np.linalg.norm(main[-1] - main[0])
        aside = np.array([-ahead[1], ahead[0]], np.float32)
        block = rng.uniform(28, 42) * canvas.unit
        reach = np.linspace(-canvas.side, canvas.side, 24)[:, None]
        courses = [main + aside * block * k for k in (-1, 0, 1)]
        courses += [main[12] + ahead * block * k + aside * reach for k in (-0.8, 0.7)]
        widths = rng.uniform(2, 4, len(courses))
    else:
        courses = [canvas.course(rng.uniform(0, 1)) for _ in range(rng.choice([1, 2, 2, 3]))]
        widths = rng.uniform(2, 5.5, len(courses))
    paving = canvas.tint(PAVINGS[rng.integers(len(PAVINGS))], 8)
    wear = np.float32(5) * canvas.noise(canvas.side // 4)[..., None]
    for course, width in zip(courses, widths, strict=True):
        cover = canvas.line(course, width * canvas.unit)
        np.maximum(canvas.roads, cover, out=canvas.roads)
    canvas.paint(canvas.roads, paving + wear)
    return courses


def _houses(canvas: Canvas, courses: list[Floats]) -> None:
    """Roofs with their shadows beside the roads, never on them."""
    rng, unit = canvas.rng, canvas.unit
    keep_off = cv2.dilate(canvas.roads, np.ones((3, 3), np.uint8))
    roofs, shadows = np.zeros((2, canvas.side, canvas.side), np.float32)
    colours = np.zeros_like(canvas.colour)
    for _ in range(rng.integers(0, 16)):
        course = courses[rng.integers(len(courses))]
        x, y = course[rng.integers(len(course))] + rng.normal(0, 12 * unit, 2)
        width, height = rng.uniform(4, 10, 2) * unit
        corners = cv2.boxPoints(((x, y), (width, height), rng.uniform(0, 90)))
        colour = canvas.tint(ROOFS[rng.integers(len(ROOFS))], 8)
        roof = canvas.polygon(corners)
        if not (keep_off * roof).any():
            np.maximum(roofs, roof, out=roofs)
            np.maximum(shadows, canvas.polygon(corners + 2 * unit), out=shadows)
            colours[roof > 0] = colour
    canvas.paint(shadows * (1 - canvas.roads) * np.float32(0.5), BLACK)
    canvas.paint(roofs, colours)
