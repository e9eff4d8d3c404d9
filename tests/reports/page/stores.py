"""A store whose names would break a careless page, with pictures of some images; and what a script of a page holds."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.images import webp
from bench.store import Manifest, Store
from bench.store.kept import KeptImage
from tests.reports.stores import add, records

HOSTILE = (
    "<img src=x onerror=alert(1)>.jpg",
    "</script><script>alert(2)</script>",
    "a'b\"c%20d&amp;",
    "line\u2028end\u2029",
    "\u202egnp.\u05d0\u05d1",
    "plain",
)
"""Images' names."""

REFINER = 'crf[note="<b>50%</b>\'"]'
BASE = (0.5, 0.6, 0.7, 0.8, 0.4, 0.9)
GAINS = (0.1, -0.2, 0.05, 0.0, -0.05, 0.02)
"""Of `REFINER`, by image."""

SHAPE = (8, 12)


LATER = (-0.05, -0.2, 0.1, 0.05, -0.05, 0.02)
"""As `GAINS`, of another run."""


def hostile(folder: Path, gains: Sequence[float] = GAINS, refined_map: np.ndarray | None = None) -> Store:
    """Two datasets, two bases, three refiners, one failed; pictures of `REFINER` and identity on one of them.

    Args:
        gains: of `REFINER`, by image.
        refined_map: its pictures; None for the truth.
    """
    store = Store(folder)
    refined = np.add(BASE, gains)
    for place, (dataset, base) in enumerate((("roads", "unet"), ("roads", "psp<i>"), ("\u05d0\u05d1", "unet"))):
        where = {"dataset": dataset, "base": base, "position": place}
        own = add(store, "identity", records(BASE, id=list(HOSTILE), seconds=0.001), **where)
        crf = add(store, REFINER, records(refined, id=list(HOSTILE), seconds=0.5), **where)
        add(store, "oracle-image", records(np.ones(6), id=list(HOSTILE)), uses_ground_truth=True, **where)
        add(store, "prn", None, status="failed", error="boom </td><script>", **where)
        if place == 0:
            for manifest in (own, crf):
                _keep(store, manifest, truth().astype(float) if refined_map is None else refined_map)
    return store


def truth() -> np.ndarray:
    """Bool `SHAPE`: an object on the left."""
    found = np.zeros(SHAPE, bool)
    found[:, :6] = True
    return found


def base_map() -> np.ndarray:
    """Right but in the top row, where it misses all, and in the last column, where it is too much."""
    found = truth().astype(float)
    found[0] = 0
    found[:, -1] = 0.5
    return found


def handed(script: str) -> tuple[str, Any]:
    """The name and the data that a chunk hands to the page."""
    name, data, *deflated = json.loads(
        f"[{script.removeprefix('BENCH.push(').removesuffix(chr(10)).removesuffix(');')}]"
    )
    return name, json.loads(zlib.decompress(base64.b64decode(data))) if deflated else data


def _keep(store: Store, manifest: Manifest, refined_map: np.ndarray) -> None:
    maps = {"identity": base_map(), REFINER: refined_map}
    image = np.full((*SHAPE, 3), 90, np.uint8)
    kept = [
        KeptImage(
            id=name,
            why=("worst",),
            image=store.add_picture(webp.image_bytes(image)),
            truth=store.add_picture(webp.truth_bytes(truth())),
            base=store.add_picture(webp.map_bytes(base_map())),
            refined=store.add_picture(webp.map_bytes(maps[manifest.refiner])),
        )
        for name in HOSTILE[:3]
    ]
    found = store.find(manifest)
    assert found is not None
    store.keep_images(found, kept)
