"""Writing of maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from bench.contracts import ProbabilityMap
from bench.runtime.files import OUT, writing
from bench.runtime.reading import open_regular


def write_map(path: Path, probs: ProbabilityMap) -> None:
    """Write a map as 16-bit PNG, whole or not at all: the error is at most 1/131070. Parent folders are made.

    Raises:
        UserError: it cannot be written.
    """
    with writing(path, OUT) as temporary, temporary.open("wb") as stream:
        PillowImage.fromarray(to_uint16(probs)).save(stream, format="PNG")


def is_whole(path: Path) -> bool:
    """Whether a PNG is there, down to its last byte by its check sums. Raises UserError where it is no regular file."""
    try:
        with open_regular(path) as file, PillowImage.open(file, formats=["PNG"]) as picture:
            picture.verify()
    except (OSError, SyntaxError, ValueError):  # what Pillow raises, beside it not being there
        return False
    return True


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
