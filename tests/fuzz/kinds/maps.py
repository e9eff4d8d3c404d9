from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.images import MapFiles, read_map
from tests.fuzz.harness import Kind, asked
from tests.fuzz.pictures import make, sound


def door(path: Path) -> bool:
    found = asked(lambda: sound(read_map(path), np.float32, 2))
    asked(lambda: sound(MapFiles([path], scale=100).read(path), np.float32, 2))
    return found


KIND = Kind(500, make, door)
