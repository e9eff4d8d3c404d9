"""The columns of the tables: what each shows, how it comes about and how it is printed.

What is known of a metric or a cost itself stands in `bench.metrics.columns`. A new column is an entry here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.metrics import iou_dataset
from bench.metrics.columns import BASE_SECONDS, COSTS, COUNTS, IMAGE_METRICS, SET_IOU, CostFacts, Facts
from bench.metrics.curves import mean_curve, summarised
from bench.reports.scores import Scores, shared_images
from bench.store import Manifest, PluggedMetric

if TYPE_CHECKING:
    import pandas as pd

NOT_AVAILABLE = "n/a"

Records = Mapping[int, Scores]
"""Finished cells' numbers by seed."""

Floats = NDArray[np.float64]


def _single(means: Floats) -> Floats:
    return means[..., 0]


def _largest(means: Floats) -> Floats:
    return np.asarray(means.max(axis=-1))


def _average(means: Floats) -> Floats:
    return np.asarray(means.mean(axis=-1))


def _ratio(means: Floats) -> Floats:
    """Intersection over union of their means; 0/0 is 1, as in `bench.metrics.iou_dataset`."""
    inside, total = means[..., 0], means[..., 1]
    return np.divide(inside, total, out=np.ones_like(inside), where=total > 0)


@dataclass(frozen=True, kw_only=True)
class Column(Facts):
    """One measure of a row.

    Attributes:
        value: its value for a row, from the finished cells' records and the manifests of all of the row's cells; None
            for what a row alone does not tell.
        gain: what follows it beside the gain over the base: the images won, tied and lost, or the share lost; None
            where there is no gain.
        unit: printed after the number.
        if_known: shown only where some row has a value.
        curve: length of what an image has of it; 0 for a number.
        parts: the columns of the records that it is computed of, where it is one of means over images; else none.
        combine: of the means over images of its parts, ``(..., K)``, the value, ``(...)``; a curve has `curve` parts.
    """

    value: Callable[[Records, Sequence[Manifest]], float | None] | None = None
    gain: Literal["W/T/L", "lost"] | None = None
    unit: str = ""
    if_known: bool = False
    curve: int = 0
    parts: tuple[str, ...] = ()
    combine: Callable[[Floats], Floats] = field(default=_single, repr=False)

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


def by_seed(records: Records, metric: str) -> Floats:
    """``(S, N)``, or ``(S, N, L)`` of curves: the images that every seed has, in the order of the first."""
    images = shared_images(records.values())
    found = [cell.of(images, metric) for cell in records.values()]
    return np.asarray(found[0][None] if len(found) == 1 else np.stack(found), np.float64)


def per_image(records: Records, metric: str) -> Floats:
    """``(N,)``: one value an image that every seed has, averaged over seeds; NaN where any seed has none."""
    found = by_seed(records, metric)
    return found[0] if len(found) == 1 else np.asarray(found.mean(axis=0))


def parts_of(cell: Scores, parts: Sequence[str], images: pd.Index[str]) -> Floats:
    """``(N, K)``: the columns ``parts`` of some images, one after the other; a curve has one for each position."""
    return np.column_stack([cell.of(images, part).astype(np.float64, copy=False) for part in parts])


def curves(records: Records, metric: str) -> Floats:
    """``(S, N, L)``; NaN where any seed has none; only images that every seed has."""
    found = by_seed(records, metric)
    return np.where(np.isnan(found).any(axis=0), np.nan, found)


def mean(values: NDArray[np.generic]) -> float:
    """Of those that are defined; NaN where none is."""
    missing = np.isnan(values)
    count = values.size - int(np.count_nonzero(missing))
    if not count:
        return math.nan
    return float((values if count == values.size else np.where(missing, 0, values)).sum() / count)


def plugged_in(key: str, metric: PluggedMetric) -> Column:
    """The column of a plugged-in metric that tables show."""
    scaled = "" if metric.scale == 1 else f", shown times {metric.scale:g}"
    shown = metric.model_dump(include={"title", "better", "scale", "digits"})
    if not metric.curve:
        meaning = f"{metric.meaning} (plug-in {key}{scaled}; {metric.better} is better)"
        return Column(**shown, key=key, meaning=meaning, value=_mean(key), parts=(key,))
    of, combine = {"max": ("largest", _largest), "mean": ("mean", _average)}[metric.summary]
    taken = f"the {of} of a curve of {metric.curve} values, each a mean over images"
    meaning = f"{metric.meaning} (plug-in {key}{scaled}; {metric.better} is better; {taken})"
    value = _of_curve(key, metric)
    return Column(**shown, key=key, meaning=meaning, value=value, curve=metric.curve, parts=(key,), combine=combine)


def headroom(oracle: str) -> Column:
    """The column that says which part of an oracle's gain a row reaches."""
    meaning = f"mIoU gain divided by that of {oracle} on the same images and seeds"
    return Column(key=f"headroom_{oracle}", title=f"of {oracle}", meaning=meaning, digits=0, scale=100, unit=" %")


def _mean(metric: str) -> Callable[[Records, Sequence[Manifest]], float | None]:
    return lambda records, _: _number(mean(per_image(records, metric)))


def _of_curve(key: str, metric: PluggedMetric) -> Callable[[Records, Sequence[Manifest]], float | None]:
    """Each seed's own number, from its curve averaged over the images; then the mean of them."""

    def value(records: Records, _: Sequence[Manifest]) -> float | None:
        each = [summarised(mean_curve(seed), metric.summary) for seed in curves(records, key)]
        return _number(mean(np.array(each)))

    return value


def _set_iou(records: Records, _: Sequence[Manifest]) -> float | None:
    """Mean over the seeds."""
    return _number(mean(np.array([iou_dataset(*(cell[count] for count in COUNTS)) for cell in records.values()])))


def _spread(records: Records, _: Sequence[Manifest]) -> float | None:
    """Standard deviation over seeds of the mean IoU, with n - 1; None for one seed."""
    means = np.array([mean(cell["iou"]) for cell in records.values()])
    known = means[~np.isnan(means)]
    return float(known.std(ddof=1)) if len(known) > 1 else None


_OVER_IMAGES: Mapping[str, Callable[[Floats], float]] = {
    "mean": mean,
    "median": lambda values: float(np.median(values)),
    "max": lambda values: float(values.max()),
}


def _cost(cost: CostFacts) -> Callable[[Records, Sequence[Manifest]], float | None]:
    def value(records: Records, _: Sequence[Manifest]) -> float | None:
        found = np.concatenate([cell[cost.key] for cell in records.values()])
        known = ~np.isnan(found)
        return _OVER_IMAGES[cost.over_images](found if known.all() else found[known]) if known.any() else None

    return value


def _fit_seconds(_: Records, manifests: Sequence[Manifest]) -> float | None:
    fits = [manifest.fit_seconds for manifest in manifests if manifest.fit_seconds is not None]
    return sum(fits) / len(fits) if fits else None


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _of_metric(
    facts: Facts,
    value: Callable[[Records, Sequence[Manifest]], float | None],
    parts: tuple[str, ...],
    combine: Callable[[Floats], Floats] = _single,
) -> Column:
    gains: dict[str, Literal["W/T/L", "lost"]] = {"iou": "W/T/L", "boundary_iou": "lost"}
    return Column(**_known(facts), value=value, gain=gains.get(facts.key), parts=parts, combine=combine)


def _of_cost(cost: CostFacts) -> Column:
    return Column(**_known(cost), value=_cost(cost), if_known=cost.if_known)


def _known(facts: Facts) -> dict[str, Any]:
    return {each.name: getattr(facts, each.name) for each in fields(Facts)}


SPREAD = Column(
    key="iou_spread",
    title="SD seeds",
    meaning="standard deviation of mIoU over the seeds, of n - 1",
    digits=2,
    scale=100,
    value=_spread,
    if_known=True,
)

QUALITY = (
    *(_of_metric(metric, _mean(metric.key), (metric.key,)) for metric in IMAGE_METRICS),
    _of_metric(SET_IOU, _set_iou, COUNTS, _ratio),
)

FIT_SECONDS = Column(
    key="fit_seconds",
    title="fit s",
    meaning="seconds to fit the refiner, once (of an interrupted fit: its last call); n/a where it learns nothing",
    digits=0,
    value=_fit_seconds,
)

_SECONDS, *_MORE = COSTS
COST = (
    _of_cost(_SECONDS),
    _of_cost(BASE_SECONDS),
    FIT_SECONDS,
    *map(_of_cost, _MORE),
)
