"""Tiny datasets on disk, and what their tests ask of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from bench.contracts import Dataset, Finding, Sample


def write_image(path: Path, height: int = 6, width: int = 8) -> Path:
    """An RGB picture of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.name)).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_mask(path: Path, levels: np.ndarray | None = None) -> Path:
    """A mask; by default 6x8, its left half foreground."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if levels is None:
        levels = np.zeros((6, 8), np.uint8)
        levels[:, :4] = 255
    Image.fromarray(levels).save(path)
    return path


def truncate(path: Path) -> None:
    """Cut a file off, as an interrupted download does."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def of_kind(findings: list[Finding], kind: str) -> list[Finding]:
    return [finding for finding in findings if finding.kind == kind]


def samples(dataset: Dataset) -> list[Sample]:
    """Every sample of a split."""
    return [dataset[index] for index in range(len(dataset))]
