from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.images import read_image
from tests.fuzz.harness import Kind, asked
from tests.fuzz.pictures import make, sound


def door(path: Path) -> bool:
    return asked(lambda: sound(read_image(path), np.uint8, 3))


KIND = Kind(500, make, door)
