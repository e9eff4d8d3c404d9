"""The columns of the tables: what each shows, how it is printed and what it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bench.store import MetricColumn

NOT_AVAILABLE = "n/a"


@dataclass(frozen=True, slots=True)
class Column:
    """One measure of a row.

    Attributes:
        key: its name in ``Row.values``, and in the CSV.
        title: the heading.
        meaning: one sentence for the legend.
        digits: decimals shown.
        scale: factor from the stored to the shown unit: 100 makes a fraction percent points.
        better: which end is good, or None where the best is not marked.
        gain: what follows it beside the gain over the base: the images won, tied and lost, or the share lost; None
            where there is no gain.
        unit: printed after the number.
    """

    key: str
    title: str
    meaning: str
    digits: int
    scale: float = 1.0
    better: Literal["higher", "lower"] | None = None
    gain: Literal["W/T/L", "lost"] | None = None
    unit: str = ""

    def text(self, value: float | None) -> str:
        """The value as shown; ``n/a`` for None; ``<0.001`` for what is above zero but would read as zero."""
        if value is None:
            return NOT_AVAILABLE
        step = 10**-self.digits
        shown = value * self.scale
        if 0 < shown < step / 2:
            return f"<{step:.{self.digits}f}{self.unit}"
        # Adding zero turns the -0.0 that a small loss rounds to into 0.0.
        return f"{round(shown, self.digits) + 0.0:.{self.digits}f}{self.unit}"


def plugged_in(key: str, column: MetricColumn) -> Column:
    """The column of a plugged-in metric."""
    scaled = "" if column.scale == 1 else f", shown times {column.scale:g}"
    meaning = f"{column.meaning} (plug-in {key}{scaled}; {column.better} is better)"
    return Column(key, column.title, meaning, column.digits, column.scale, column.better)


def headroom(oracle: str) -> Column:
    """The column that says which part of an oracle's gain a row reaches."""
    meaning = f"mIoU gain divided by that of {oracle} on the same images and seeds"
    return Column(f"headroom_{oracle}", f"of {oracle}", meaning, digits=0, scale=100, unit=" %")


def _points(key: str, title: str, meaning: str, *, gain: Literal["W/T/L", "lost"] | None = None) -> Column:
    return Column(key, title, meaning, digits=2, scale=100, better="higher", gain=gain)


SPREAD = Column("iou_spread", "SD seeds", "standard deviation of mIoU over the seeds, of n - 1", digits=2, scale=100)
"""Shown only where some row has it."""

QUALITY = (
    _points("iou", "mIoU", "mean over images of the foreground IoU at threshold 0.5", gain="W/T/L"),
    _points(
        "boundary_iou",
        "mBA (d=15)",
        "Boundary IoU (Cheng et al. 2021) of bands 15 px wide, which the paper calls mBA; mean over images",
        gain="lost",
    ),
    _points("boundary_iou_2pct", "BIoU 2%", "Boundary IoU of bands 2 % of the image diagonal wide; mean over images"),
    _points("boundary_accuracy", "BndAcc", "CascadePSP's mBA: pixel accuracy near the true contour; mean over images"),
    Column("mae", "MAE", "mean absolute error of the map itself, 0..1, lower is better", digits=3, better="lower"),
    _points("iou_dataset", "Set IoU", "IoU of the pixel counts summed over all images"),
)

COST = (
    Column("seconds", "refine s/image", "seconds of the refine step, median over images", digits=3),
    Column("base_seconds", "base s/image", "seconds of the base network, median over images", digits=3),
    Column(
        "fit_seconds",
        "fit s",
        "seconds to fit the refiner, once (of an interrupted fit: its last call); n/a where it learns nothing",
        digits=0,
    ),
    Column(
        "peak_gpu_mb",
        "GPU MB (torch)",
        "peak of torch's allocator in the refine step, MiB, largest over images",
        digits=0,
    ),
    Column(
        "peak_gpu_nvml_mb",
        "GPU MB (NVML)",
        "GPU memory in use by all processes after the refine step, as NVML reports it, MiB, largest over images",
        digits=0,
    ),
    Column(
        "peak_rss_mb",
        "RSS MB",
        "peak resident memory of the process in the refine step, MiB, largest over images",
        digits=0,
    ),
)

ENERGY = Column(
    "energy_j", "J/image", "energy the GPU drew in the refine step, as NVML reports it, mean over images", digits=2
)
"""Shown only where some row has it."""
