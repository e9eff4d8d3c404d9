from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.images import read_grey, read_mask
from tests.fuzz.harness import Kind, asked
from tests.fuzz.pictures import make, sound


def door(path: Path) -> bool:
    found = asked(lambda: sound(read_mask(path), np.bool_, 2))
    asked(lambda: sound(read_grey(path), np.uint8, 2))  # as the published datasets are read
    return found


KIND = Kind(350, make, door)
