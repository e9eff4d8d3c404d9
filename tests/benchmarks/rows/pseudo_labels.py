"""Pseudo-labels of a map, patch by patch: exact, against the released code's 20 thresholds as one would write them."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from bench.patches import patch_optimal
from bench.patches.optimal import UNCOMPILED
from tests.benchmarks.contests import Contest, Jobs
from tests.benchmarks.grid_as_written import grid_as_written, iou_of_booleans
from tests.benchmarks.rows.examples import Kind, example

SIDE, PATCH = 512, 64
TARGETS = {"uint8": 50, "float32": 15}
GUARDS = {"uint8": 20, "float32": 7}
"""Of the drawn objects."""


def compiled() -> None:
    """Search as many maps as a process does before it takes the compiled way, where numba is there."""
    given = example("objects", SIDE)
    for _ in range(UNCOMPILED // SIDE**2 + 2):
        patch_optimal(given.codes, given.mask, PATCH)


def labels(kind: Kind, stored: str) -> Jobs:
    compiled()
    given = example(kind, SIDE)
    probs: Any = given.codes if stored == "uint8" else given.exact.astype(np.float32)
    # The same values, in the type in which the released code has them.
    wide = probs / 255 if stored == "uint8" else probs.astype(np.float64)
    return Jobs(
        lambda: grid_as_written(wide, given.mask, PATCH, iou_of_booleans)[2],
        lambda: patch_optimal(probs, given.mask, PATCH, smooth=1.0).ious,
    )


def no_patch_worse(theirs: np.ndarray, own: np.ndarray) -> None:
    assert (own >= theirs - 1e-12).all()


ROWS = [
    Contest(
        work=f"patch-optimal labels, P = {PATCH}",
        setting=f"{SIDE}x{SIDE}, {stored}, {kind}",
        peer="20-step grid in booleans",
        ours="bench.patches.patch_optimal",
        prepare=partial(labels, kind, stored),
        target=TARGETS[stored],
        guard=GUARDS[stored] if kind == "objects" else None,
        agree=no_patch_worse,
        note=f"Ours as from the {UNCOMPILED // SIDE**2 + 1}th map of a process on: compiled, with the extra `fast`.",
        agreement="as far as they should: ours are exact, in no patch of lower IoU than the best of 20 thresholds",
    )
    for stored in TARGETS
    for kind in ("golden", "objects", "noise")
]
