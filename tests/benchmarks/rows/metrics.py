"""The default metrics of one image, by what a user would compute them with."""

from __future__ import annotations

from functools import partial

import numpy as np

from bench.metrics import iou
from tests.benchmarks.contests import Contest, Jobs, Within
from tests.benchmarks.rows.examples import Kind, example


def overlap(kind: Kind, side: int) -> Jobs:
    import torch
    from torchmetrics.functional.classification import binary_jaccard_index

    given = example(kind, side)
    probs, target = torch.from_numpy(given.probs), torch.from_numpy(given.mask.astype(np.int64))
    return Jobs(lambda: float(binary_jaccard_index(probs, target)), lambda: iou(given.probs, given.mask))


ROWS = [
    Contest(
        work="IoU",
        setting=f"{side}x{side}, golden",
        peer="torchmetrics",
        ours="bench.metrics.iou",
        prepare=partial(overlap, "golden", side),
        agree=Within(1e-6),
        agreement="to 1e-6: the peer divides in float32",
    )
    for side in (512, 1024)
]
