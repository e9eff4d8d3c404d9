"""The default metrics of one image, by what a user would compute them with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import cycle
from typing import Any

import cv2
import numpy as np

from bench.contracts import Mask, ProbabilityMap
from bench.metrics import boundary_accuracy, boundary_iou, iou, mae, score
from bench.metrics.boundary import BAND_WIDTH, DIAGONAL_RATIO
from tests.benchmarks.contests import Contest, Jobs, Within, identical
from tests.benchmarks.rows.examples import Example, Kind, example

Metric = Callable[[Any, Mask], Any]
SETTINGS: list[tuple[Kind, int]] = [("golden", 512), ("golden", 1024), ("objects", 512), ("objects", 1024)]
GUARDED = ("objects", 512)
"""Drawn, so that it is there."""


def metric(
    kind: Kind, side: int, peer: Callable[[Example], Callable[[], Any]], ours: Metric, *, binarised: bool
) -> Jobs:
    """Ours is given an image and its copy in turn, so that nothing which it kept of one call would serve the next."""
    given = example(kind, side)
    pred = given.probs >= 0.5 if binarised else given.probs
    pairs = cycle([(pred, given.mask), (pred.copy(), given.mask.copy())])
    return Jobs(peer(given), lambda: ours(*next(pairs)))


def torchmetrics_iou(given: Example, target: str = "int64") -> Callable[[], float]:
    import torch
    from torchmetrics.functional.classification import binary_jaccard_index

    probs, truth = torch.from_numpy(given.probs), torch.from_numpy(given.mask.astype(target))
    return lambda: float(binary_jaccard_index(probs, truth))


def band(mask: np.ndarray, width: int) -> np.ndarray:
    """From the definition: what ``width`` erosions by 3x3 in a frame of zeros take away."""
    framed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(framed, np.ones((3, 3), np.uint8), iterations=width)
    return mask - eroded[1:-1, 1:-1]


def eroded_iou(given: Example, ratio: float | None = None) -> Callable[[], float]:
    found, truth = (given.probs >= 0.5).astype(np.uint8), given.mask.astype(np.uint8)
    width = BAND_WIDTH if ratio is None else round(ratio * float(np.hypot(*truth.shape)))

    def peer() -> float:
        bands = band(found, width) > 0, band(truth, width) > 0
        return float((bands[0] & bands[1]).sum() / (bands[0] | bands[1]).sum())

    return peer


def accuracy_near_contour(given: Example) -> Callable[[], float]:
    """As CascadePSP's evaluation has it: five radii, each with its kernel, gradient and share of right pixels."""
    found, truth = given.probs >= 0.5, given.mask.astype(np.uint8)

    def peer() -> float:
        largest, shares = sum(truth.shape) / 300, []
        for step in range(5):
            radius = 1 + int((largest - 1) / 5 * step)
            kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
            region = cv2.morphologyEx(truth, cv2.MORPH_GRADIENT, kernel) > 0
            shares.append(((found == truth) & region).sum() / region.sum())
        return float(np.mean(shares))

    return peer


def toolbox_mae(given: Example, stretch: bool = False) -> Callable[[], float]:
    from py_sod_metrics import MAE

    codes = 255 * given.mask.astype(np.uint8)

    def peer() -> float:
        measure = MAE()
        if stretch:
            measure.step(given.codes, codes)
        else:
            measure.step(given.probs, given.mask, normalize=False)
        return float(measure.get_results()["mae"])

    return peer


def every(given: Example) -> Callable[[], list[float]]:
    """The peers of all default metrics, one after the other."""
    parts = (
        torchmetrics_iou(given),
        eroded_iou(given),
        eroded_iou(given, DIAGONAL_RATIO),
        accuracy_near_contour(given),
        toolbox_mae(given),
    )
    return lambda: [part() for part in parts]


def all_scores(probs: ProbabilityMap, mask: Mask) -> list[float]:
    return list(score(probs, mask).values())[:5]


def boundary_iou_2pct(probs: ProbabilityMap, mask: Mask) -> float:
    return boundary_iou(probs, mask, ratio=DIAGONAL_RATIO)


def rows(
    peer: Callable[[Example], Callable[[], Any]],
    ours: Metric,
    targets: dict[int, float | None],
    /,
    guard: float | None = None,
    binarised: bool = False,
    **said: Any,
) -> list[Contest]:
    """One at each of `SETTINGS`, of which CI runs `GUARDED`; ours has the map, or its mask as the peer."""
    return [
        Contest(
            setting=f"{side}x{side}, {kind}",
            prepare=partial(metric, kind, side, peer, ours, binarised=binarised),
            target=targets[side],
            guard=guard if (kind, side) == GUARDED else None,
            **said,
        )
        for kind, side in SETTINGS
    ]


ROWS = [
    *rows(
        torchmetrics_iou,
        iou,
        {512: 45, 1024: 50},
        keep=True,
        guard=20,
        work="IoU",
        peer="torchmetrics",
        ours="bench.metrics.iou",
        agree=Within(1e-6),
        agreement="to 1e-6, as the peer divides in float32",
        note="The peer has tensors, its target int64 as its documentation wants it; conversion is not timed.",
    ),
    *rows(
        partial(torchmetrics_iou, target="bool"),
        iou,
        {512: None, 1024: None},
        work="IoU",
        peer="torchmetrics, target bool",
        ours="bench.metrics.iou",
        agree=Within(1e-6),
    ),
    *rows(
        eroded_iou,
        boundary_iou,
        {512: 4, 1024: 4},
        guard=2,
        binarised=True,
        work="Boundary IoU, d = 15",
        peer="3x3 erosion repeated",
        ours="bench.metrics.boundary_iou",
        agree=identical,
        agreement="bit for bit",
        note="Both have masks; the peer's are bytes already. OpenCV makes one large erosion of the 15.",
    ),
    *rows(
        accuracy_near_contour,
        boundary_accuracy,
        {512: 10, 1024: 8},
        guard=4,
        binarised=True,
        work="CascadePSP's mBA",
        peer="as its authors evaluate",
        ours="bench.metrics.boundary_accuracy",
        agree=Within(1e-15),
        agreement="to the last bit of a mean of five",
        missed="Some sixty calls of numpy on arrays of at most 73 KB, 1 to 2 microseconds each, about half of it the "
        "call itself. At 1024 px the same calls move four times as much.",
    ),
    *rows(
        partial(toolbox_mae, stretch=True),
        mae,
        {512: 4, 1024: 4},
        guard=1.2,
        work="MAE",
        peer="PySODMetrics, as it is called",
        ours="bench.metrics.mae",
        note="As it is called, the peer reads 8-bit levels and stretches each map first, which gives another number.",
        missed="Four passes in float64 over pieces that stay in the cache; at 512 px, the map widened 0.04 ms, the "
        "mask taken off 0.06, absolute values 0.04, the sum 0.04. It is summed in numpy's order, so that no stored "
        "number moves in its last bit; in float32, as the peer without the stretch, it would be half the bytes.",
    ),
    *rows(
        toolbox_mae,
        mae,
        {512: None, 1024: None},
        work="MAE",
        peer="PySODMetrics, no stretch, float32",
        ours="bench.metrics.mae",
        agree=Within(1e-6),
        agreement="to 1e-6 without the stretch, where the peer works in float32 and ours in float64",
    ),
    *rows(
        every,
        all_scores,
        {512: 12, 1024: 12},
        guard=5,
        work="all default metrics",
        peer="the peers above in turn",
        ours="bench.metrics.score",
        agree=Within(1e-6),
        agreement="as each alone",
        note="IoU, Boundary IoU of 15 px and of 2 % of the diagonal, CascadePSP's mBA and MAE (without a stretch).",
        missed="MAE is two fifths of it at 512 px, see there.",
    ),
]
