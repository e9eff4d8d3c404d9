"""The columns of the tables: what each shows, how it comes about and how it is printed.

What is known of a metric or a cost itself stands in `bench.metrics.columns`. A new column is an entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.metrics import iou_dataset
from bench.metrics.columns import BASE_SECONDS, COSTS, COUNTS, IMAGE_METRICS, SET_IOU, CostFacts, Facts
from bench.metrics.curves import mean_curve, summarised
from bench.store import Manifest, PluggedMetric

NOT_AVAILABLE = "n/a"

Records = Mapping[int, pd.DataFrame]
"""Finished cells' records by seed, indexed by image id."""


def _single(means: NDArray[np.float64]) -> NDArray[np.float64]:
    return means[..., 0]


def _largest(means: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(means.max(axis=-1))


def _average(means: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(means.mean(axis=-1))


def _ratio(means: NDArray[np.float64]) -> NDArray[np.float64]:
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
    combine: Callable[[NDArray[np.float64]], NDArray[np.float64]] = field(default=_single, repr=False)

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


def per_image(records: Records, metric: str) -> pd.Series[float]:
    """One value an image, averaged over seeds; NaN where any seed has none; only images that every seed has."""
    return pd.concat([frame[metric] for frame in records.values()], axis=1, join="inner").mean(axis=1, skipna=False)


def parts_of(frame: pd.DataFrame, parts: Sequence[str]) -> NDArray[np.float64]:
    """``(N, K)``: the columns ``parts`` of records, one after the other; a curve has one for each position."""
    # A column of lists is one of objects, which no array is made of at once.
    columns = (frame[part] for part in parts)
    return np.column_stack(
        [np.array(column.tolist() if column.dtype == object else column, dtype=np.float64) for column in columns]
    )


def curves(records: Records, metric: str, length: int) -> NDArray[np.float64]:
    """``(seeds, images, length)``; NaN where any seed has none; only images that every seed has."""
    each = pd.concat([frame[metric] for frame in records.values()], axis=1, join="inner")
    found = np.array([[*column] for _, column in each.items()], dtype=np.float64)
    found = found.reshape(len(records), len(each), length)
    return np.where(np.isnan(found).any(axis=0), np.nan, found)


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
    return lambda records, _: _number(per_image(records, metric).mean())


def _of_curve(key: str, metric: PluggedMetric) -> Callable[[Records, Sequence[Manifest]], float | None]:
    """Each seed's own number, from its curve averaged over the images; then the mean of them."""

    def value(records: Records, _: Sequence[Manifest]) -> float | None:
        by_seed = [summarised(mean_curve(seed), metric.summary) for seed in curves(records, key, metric.curve)]
        return _number(float(pd.Series(by_seed).mean()))

    return value


def _set_iou(records: Records, _: Sequence[Manifest]) -> float | None:
    """Mean over the seeds."""
    by_seed = [iou_dataset(*(frame[count].to_numpy() for count in COUNTS)) for frame in records.values()]
    return _number(float(pd.Series(by_seed).mean()))


def _spread(records: Records, _: Sequence[Manifest]) -> float | None:
    """Standard deviation over seeds of the mean IoU, with n - 1; None for one seed."""
    means = pd.Series([frame["iou"].mean() for frame in records.values()])
    return _number(means.std(ddof=1))


def _cost(cost: CostFacts) -> Callable[[Records, Sequence[Manifest]], float | None]:
    def value(records: Records, _: Sequence[Manifest]) -> float | None:
        return _number(pd.concat([frame[cost.key] for frame in records.values()]).agg(cost.over_images))

    return value


def _fit_seconds(_: Records, manifests: Sequence[Manifest]) -> float | None:
    fits = [manifest.fit_seconds for manifest in manifests if manifest.fit_seconds is not None]
    return sum(fits) / len(fits) if fits else None


def _number(value: float) -> float | None:
    return None if pd.isna(value) else float(value)


def _of_metric(
    facts: Facts,
    value: Callable[[Records, Sequence[Manifest]], float | None],
    parts: tuple[str, ...],
    combine: Callable[[NDArray[np.float64]], NDArray[np.float64]] = _single,
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
