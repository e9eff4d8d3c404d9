"""Writing of maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from bench.contracts import ProbabilityMap


def write_map(path: Path, probs: ProbabilityMap) -> None:
    """Write a map as 16-bit PNG: the error is at most 1/131070. Parent folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray(to_uint16(probs)).save(path)


def to_uint16(probs: ProbabilityMap) -> np.ndarray:
    """uint16 codes of a map, rounded to nearest, such that ``>= 0.5`` keeps its meaning.

    0.5 itself lies between the codes 32767 and 32768; it rounds to the even one, 32768.
    """
    codes = np.rint(np.asarray(probs, np.float64) * 65535.0).astype(np.uint16)
    # A float32 just under 0.5 may round up to the code of "foreground": hold it back.
    np.minimum(codes, np.where(probs < np.float32(0.5), 32767, 65535), out=codes, casting="unsafe")
    return codes


def from_uint16(codes: np.ndarray) -> ProbabilityMap:
    """float32 map of uint16 codes."""
    return (codes / np.float32(65535.0)).astype(np.float32)
