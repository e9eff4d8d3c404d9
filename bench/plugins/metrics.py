"""Metrics of other packages, scored beside the built-in ones: entry-point group ``bench.metrics``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from pydantic import ValidationError

from bench.config import Settings
from bench.contracts import Mask, Metric, ProbabilityMap, UserError, read_only
from bench.metrics.columns import METRICS, RECORD_COLUMNS
from bench.plugins.calls import calling
from bench.plugins.variants import Variant, resolve
from bench.runtime.failures import summarised
from bench.store import PluggedMetric

_OF_REPORTS = (
    "dataset limit layout rules protocol base refiner status problem baseline uses_ground_truth contaminated seeds "
    "images notes iou_spread fit_seconds"
)
BUILT_IN = {metric.key for metric in METRICS}
TAKEN = {*RECORD_COLUMNS, *BUILT_IN, *_OF_REPORTS.split()}
"""Names of the columns that records and reports have without any plug-in."""


def chosen(specs: Sequence[str], settings: Settings, where: str = "") -> dict[str, Variant]:
    """The variants of ``name[key=value]``, by the name of their column, which is their label; each once.

    Args:
        where: the option or key that the specs came from, for errors; by default ``--metric``.

    Raises:
        UserError: as `bench.plugins.variants.resolve`; or the metric is a built-in one, or takes its column's name.
    """
    where = where or "--metric"
    found: dict[str, Variant] = {}
    for spec in specs:
        if spec in BUILT_IN:
            raise UserError(f"{spec!r} is scored always", where, "leave it out")
        variant = resolve("metric", spec, settings, where)
        if variant.label in TAKEN:
            fix = "give the plug-in another name"
            raise UserError(f"the metric {variant.label!r} has the name of another column", where, fix)
        found[variant.label] = variant
    return found


def made(variants: Mapping[str, Variant]) -> dict[str, Metric]:
    """The metrics themselves, by column."""
    return {label: variant.make() for label, variant in variants.items()}


def columns(metrics: Mapping[str, Metric]) -> dict[str, PluggedMetric]:
    """What each says about its column. Raises UserError where an attribute is missing or of the wrong kind."""
    return {label: _column(label, metric) for label, metric in metrics.items()}


def values(
    metrics: Mapping[str, Metric], probs: ProbabilityMap, mask: Mask, where: str, ignore: Mask | None = None
) -> dict[str, float | list[float]]:
    """The metrics of one image, by column; NaN where one is undefined. A curve is a list of its length.

    Args:
        probs: ``(H, W)`` float32 in [0, 1]. The metrics see it and the mask as read-only arrays.
        mask: ``(H, W)`` bool.
        where: what is scored, for errors.
        ignore: ``(H, W)`` bool, void pixels; None for none.

    Raises:
        UserError: a metric raises, or returns what is neither a finite number nor NaN, or no curve of them where it
            is one; or there are void pixels, which it would count.
    """
    if not metrics:
        return {}
    if ignore is not None and ignore.any():
        named = ", ".join(metrics)
        raise UserError(f"the metrics {named} cannot leave void pixels out", where, "leave out --metric, or ignore=")
    return {label: _value(label, metric, read_only(probs), read_only(mask), where) for label, metric in metrics.items()}


def finite(value: object, length: int) -> float | list[float] | None:
    """What a metric returned, as records keep it; None where it is not what the contract asks for.

    Args:
        length: that of its curve; 0 where it is a number.
    """
    if not length:
        number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.inf
        return None if math.isinf(number) else number
    if not isinstance(value, np.ndarray) or value.shape != (length,) or value.dtype.kind != "f":
        return None
    return None if np.isinf(value).any() else [float(number) for number in value]


def asked(length: int) -> str:
    """What `finite` takes, in words."""
    form = f"a numpy vector of {length} floats" if length else "a float"
    return f"it must return {form}, NaN where it is undefined"


def _value(label: str, metric: Metric, probs: ProbabilityMap, mask: Mask, where: str) -> float | list[float]:
    length = getattr(metric, "curve", 0)
    try:
        with calling(f"metric {label!r}, {where}", probs, mask):
            value = metric(probs, mask)
        found = finite(value, length)
    except UserError:
        raise
    except Exception as error:
        # Whatever a foreign metric raises is its author's to mend: it must not look like a defect of the harness.
        said = f"metric {label!r} failed: {summarised(error)}"
        raise UserError(said, where, "repair that plug-in, or leave it out of --metric") from error
    if found is None:
        raise UserError(f"metric {label!r} returned {told(value)}", where, asked(length))
    return found


def told(value: Any) -> str:
    """A returned value in an error line."""
    if not isinstance(value, np.ndarray):
        return f"{value!r:.60} ({type(value).__name__})"
    infinite = " with an infinity in it" if value.dtype.kind == "f" and np.isinf(value).any() else ""
    return f"an array {value.shape} of {value.dtype}{infinite}"


def _column(label: str, metric: Metric) -> PluggedMetric:
    try:
        return PluggedMetric.model_validate(metric, from_attributes=True)
    except ValidationError as error:
        first = error.errors()[0]
        message = first["msg"].removeprefix("Input should be ")
        fix = "give the class title, meaning, better, scale and digits"
        raise UserError(f"metric {label!r}: {first['loc'][0]}: {message}", "bench.metrics", fix) from None
