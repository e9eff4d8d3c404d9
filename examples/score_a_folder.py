"""Score probability maps against masks from Python: any method's, no model needed.

python examples/score_a_folder.py                              # draws masks and maps, in ./drawn
python examples/score_a_folder.py my/masks my/maps
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

import bench


def draw(masks: Path, maps: Path) -> None:
    """Five discs, and maps of them that get worse from one to the next."""
    masks.mkdir(parents=True, exist_ok=True)
    maps.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :64]
    for number in range(5):
        mask = np.hypot(rows - 32, columns - 24 - 4 * number) < 16
        probs = np.clip(0.2 + 0.6 * mask + random.normal(0, 0.1 * (1 + number), mask.shape), 0, 1)
        # A mask is 0 and 255; a map has the same name and size, and is a PNG (8 or 16 bits) or an NPY in [0, 1].
        Image.fromarray(mask.astype(np.uint8) * 255).save(masks / f"disc-{number}.png")
        np.save(maps / f"disc-{number}.npy", probs.astype(np.float32))


if len(sys.argv) == 3:
    masks, maps = Path(sys.argv[1]), Path(sys.argv[2])
else:
    masks, maps = Path("drawn/masks"), Path("drawn/maps")
    draw(masks, maps)

# A pandas data frame, one row an image. Metrics are fractions; a column that one map cannot fill, like a cost, is NaN.
scores = bench.score(masks, maps)
shown = scores[["id", "iou", "boundary_iou", "mae"]]
print(shown.to_string(index=False, float_format="{:.3f}".format))
print(f"\nmean IoU of {len(scores)} images: {scores['iou'].mean():.3f}")
print(f"look at {scores.set_index('id')['iou'].idxmin()} first")
