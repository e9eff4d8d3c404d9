"""The numbers of a record, each in one place: what it is, how it comes about and how tables show it.

A new metric is a function in this folder and an entry in `IMAGE_METRICS`; a new cost is an entry in `COSTS` and a
field of `bench.execution.measure.Cost`. The store's columns, ``bench score``, ``bench list metrics``, what a tuning may
go by and the reports' tables follow from the entry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

from bench.contracts import Mask
from bench.metrics.arguments import Prediction, check_ignore, checked, decided, without_void
from bench.metrics.bits import Bits, overlap
from bench.metrics.boundary import BAND_WIDTH, DIAGONAL_RATIO, band_width, bands_iou, contour_accuracy
from bench.metrics.error import mean_error
from bench.metrics.overlap import count_ratio

METRIC_VERSION = 1
"""Part of each cell's identity: raise it when a change changes a number, or when a metric joins."""

RULES = "refinebench-v1"
"""The id of all that makes numbers comparable: splits, metrics and their versions, threshold, tuning on val alone, as
docs/protocol.md states them. A change of any of these is a new id; cells of two ids never stand in one table."""

Better: TypeAlias = Literal["higher", "lower"]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a number without a report.

    Attributes:
        key: its name in records, in reports and in the CSV.
        title: the heading.
        meaning: one sentence for the legend, without a full stop.
        digits: decimals shown.
        scale: factor from the stored to the shown unit: 100 makes a fraction percent points.
        better: which end is good, or None where the best is not marked.
        dtype: of its column in the records; NaN is undefined or not measured.
    """

    key: str
    title: str
    meaning: str
    digits: int
    scale: float = 1.0
    better: Better | None = None
    dtype: Literal["float64", "int64"] = "float64"


@dataclass(frozen=True)
class Scored:
    """One image's prediction; what several metrics need of it is computed once.

    Attributes:
        probs: ``(H, W)`` float map in [0, 1], or a bool mask.
        mask: ``(H, W)`` bool, the ground truth.
        ignore: ``(H, W)`` bool, void pixels; None for none.

    Raises:
        ValueError: shapes differ, a dtype is ambiguous, or the map has NaN or leaves [0, 1].
    """

    probs: Prediction
    mask: Mask
    ignore: Mask | None = None

    def __post_init__(self) -> None:
        checked(self.probs, self.mask)
        if self.ignore is not None:
            check_ignore(self.ignore, self.mask)

    @cached_property
    def bits(self) -> Bits:
        """Prediction and ground truth, packed, void cleared: see `bench.metrics.arguments.cleared`."""
        return Bits(*without_void(decided(self.probs), self.mask, self.ignore))

    @cached_property
    def counts(self) -> tuple[int, int]:
        """Pixels in the intersection and in the union."""
        return overlap(self.bits.words)


@dataclass(frozen=True, kw_only=True)
class MetricFacts(Facts):
    """A metric of one image. A row of a table shows its mean over images, undefined ones left out.

    Attributes:
        of: its value for one image; NaN where it is undefined.
        objective: a tuning may go by its mean.
    """

    of: Callable[[Scored], float]
    objective: bool = False


@dataclass(frozen=True, kw_only=True)
class CostFacts(Facts):
    """A cost of one step on one image, as `bench.execution.measure.Meter` measures it.

    Attributes:
        over_images: how a row of a table sums the images up.
        if_known: tables show it only where some row has it.
    """

    over_images: Literal["mean", "median", "max"]
    if_known: bool = False


IMAGE_METRICS = (
    MetricFacts(
        key="iou",
        title="mIoU",
        meaning="mean over images of the foreground IoU at threshold 0.5",
        digits=2,
        scale=100,
        better="higher",
        of=lambda scored: count_ratio(*scored.counts),
        objective=True,
    ),
    MetricFacts(
        key="boundary_iou",
        title="mBA (d=15)",
        meaning="Boundary IoU (Cheng et al. 2021) of bands 15 px wide, which the paper calls mBA; mean over images",
        digits=2,
        scale=100,
        better="higher",
        of=lambda scored: bands_iou(scored.bits, BAND_WIDTH),
        objective=True,
    ),
    MetricFacts(
        key="boundary_iou_2pct",
        title="BIoU 2%",
        meaning="Boundary IoU of bands 2 % of the image diagonal wide; mean over images",
        digits=2,
        scale=100,
        better="higher",
        of=lambda scored: bands_iou(scored.bits, band_width(scored.mask.shape, ratio=DIAGONAL_RATIO)),
    ),
    MetricFacts(
        key="boundary_accuracy",
        title="BndAcc",
        meaning="CascadePSP's mBA: pixel accuracy near the true contour; mean over images",
        digits=2,
        scale=100,
        better="higher",
        of=lambda scored: contour_accuracy(scored.bits, scored.ignore),
    ),
    MetricFacts(
        key="mae",
        title="MAE",
        meaning="mean absolute error of the map itself, 0..1, lower is better",
        digits=3,
        better="lower",
        of=lambda scored: mean_error(scored.probs, scored.mask, scored.ignore),
    ),
)
"""Those that an image of its own has, in the order of tables and records."""

SET_IOU = Facts(
    key="iou_dataset",
    title="Set IoU",
    meaning="IoU of the pixel counts summed over all images",
    digits=2,
    scale=100,
    better="higher",
)
"""`bench.metrics.iou_dataset` of the sums of `COUNTS`."""

METRICS: tuple[Facts, ...] = (IMAGE_METRICS[0], SET_IOU, *IMAGE_METRICS[1:])
"""All built-in ones: the two IoUs side by side, for lists."""

COUNTS = ("intersection", "union")
"""Pixel counts of one image, int64, from which the IoU of the whole split is computed."""

COSTS = (
    CostFacts(
        key="seconds",
        title="refine s/image",
        meaning="seconds of the refine step, median over images",
        digits=3,
        # The median, because the first image after a pause or a page fault says little about the method.
        over_images="median",
    ),
    CostFacts(
        key="peak_gpu_mb",
        title="GPU MB (torch)",
        meaning="peak of torch's allocator in the refine step, MiB, largest over images",
        digits=0,
        over_images="max",
    ),
    CostFacts(
        key="peak_gpu_nvml_mb",
        title="GPU MB (NVML)",
        meaning="GPU memory in use by all processes after the refine step, as NVML reports it, MiB, largest over "
        "images",
        digits=0,
        over_images="max",
    ),
    CostFacts(
        key="peak_rss_mb",
        title="RSS MB",
        meaning="peak resident memory of the process in the refine step, MiB, largest over images",
        digits=0,
        over_images="max",
    ),
    CostFacts(
        key="energy_j",
        title="J/image",
        meaning="energy the GPU drew in the refine step, as NVML reports it, mean over images",
        digits=2,
        over_images="mean",
        if_known=True,
    ),
)
"""What refining an image costs."""

BASE = "base_"
"""Stands before the key of a cost that is the base's own share."""

BASE_SECONDS = replace(
    COSTS[0],
    key=f"{BASE}seconds",
    title="base s/image",
    meaning="seconds of the base network, median over images",
)

RECORD_COLUMNS: dict[str, str] = {
    "id": "str",
    **{metric.key: metric.dtype for metric in IMAGE_METRICS},
    **dict.fromkeys(COUNTS, "int64"),
    **{before + cost.key: cost.dtype for before in ("", BASE) for cost in COSTS},
}
"""Columns of a cell's records and their dtypes; one row an image."""

OBJECTIVES = {metric.key: metric for metric in IMAGE_METRICS if metric.objective}
"""What a tuning may go by, as high as possible."""

DEFAULT_OBJECTIVE = IMAGE_METRICS[0].key

if TYPE_CHECKING:
    Objective: TypeAlias = str
else:
    Objective = Literal[tuple(OBJECTIVES)]  # mypy cannot look into the table; pydantic does
"""Key of one of `OBJECTIVES`."""


def score(probs: Prediction, mask: Mask, *, ignore: Mask | None = None) -> dict[str, float | int]:
    """All `IMAGE_METRICS` and `COUNTS` of one image, by key, in the records' order.

    Empty masks, both / ground truth alone / prediction alone: the IoUs are 1 / 0 / 0; ``boundary_accuracy`` is NaN
    where the ground truth is all background or all foreground; ``mae`` is defined always.

    Args:
        probs: ``(H, W)`` float map in [0, 1], binarised at ``>= 0.5`` for all columns but ``mae``; or a bool mask.
        mask: ``(H, W)`` bool, the ground truth.
        ignore: ``(H, W)`` bool, void pixels, which count for nothing; None for none.

    Raises:
        ValueError: shapes differ, a dtype is ambiguous, or the map has NaN or leaves [0, 1].

    Example:
        >>> import numpy as np
        >>> from bench.metrics import score
        >>> row = score(np.array([[0.75, 0.75, 0.5, 0.0]], dtype=np.float32), np.array([[True, True, False, False]]))
        >>> row["intersection"], row["union"], row["boundary_accuracy"], row["mae"]
        (2, 3, 0.5, 0.25)
    """
    scored = Scored(probs, mask, ignore)
    values = {metric.key: metric.of(scored) for metric in IMAGE_METRICS}
    return {**values, **dict(zip(COUNTS, scored.counts, strict=True))}
