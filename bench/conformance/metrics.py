"""The contract of `bench.contracts.Metric`, as checks."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from functools import cached_property
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from bench.conformance.declared import attribute, making_checks
from bench.conformance.material import Case, hard, ordinary
from bench.conformance.report import Check, ContractError, Remark
from bench.contracts import Summary
from bench.metrics.curves import summarised
from bench.plugins.metrics import asked, finite, told
from bench.plugins.variants import Variant


class MetricSubject:
    """A metric under test."""

    def __init__(self, variant: Variant) -> None:
        self.variant = variant

    @cached_property
    def metric(self) -> Any:
        """The metric."""
        return self.variant.make()

    @property
    def curve(self) -> int:
        """Length of its curve; 0 where it is a number."""
        return getattr(self.metric, "curve", 0)

    def values(self, case: Case, metric: Any = None) -> NDArray[np.float64]:
        """Its curve, or its number as a curve of one. Raises `ContractError` where it is neither, or infinite.

        Args:
            metric: a copy of it, in its place.
        """
        returned = (metric or self.metric)(case.probs, case.mask)
        found = finite(returned, self.curve)
        if found is None:
            raise ContractError(f"{case.name}: returned {told(returned)}; {asked(self.curve)}")
        return np.atleast_1d(np.asarray(found, dtype=np.float64))

    def value(self, case: Case) -> float:
        """The number that a table would show of the one image; NaN where it shows none. Raises as `values`."""
        return summarised(self.values(case), getattr(self.metric, "summary", "mean"))


def metric_checks(variant: Variant) -> Iterator[Check]:
    """All checks of a metric whose class is in order (`bench.conformance.declared.parameter_checks`)."""
    subject = MetricSubject(variant)
    yield from making_checks(variant)
    yield Check("declarations", lambda: _declarations(subject.metric), vital=True)
    yield Check("ordinary map", lambda: _defined(subject), vital=True)
    yield Check("hard cases", lambda: _hard(subject))
    yield Check("which end is good", lambda: _direction(subject))
    yield Check("same call twice", lambda: _twice(subject))
    yield Check("inputs unchanged", lambda: _unchanged(subject))
    yield Check("pickling", lambda: _pickled(subject))


def _declarations(metric: Any) -> str:
    title, meaning = attribute(metric, "title", str), attribute(metric, "meaning", str)
    if not title or not meaning:
        raise ContractError("title and meaning stand in every report: neither may be empty")
    better = attribute(metric, "better", str)
    if better not in ("higher", "lower"):
        raise ContractError(f"better is {better!r}, neither 'higher' nor 'lower'")
    if attribute(metric, "scale", int, float) <= 0:
        raise ContractError("scale must be above 0: 1, or 100 for fractions shown in points")
    if attribute(metric, "digits", int) < 0:
        raise ContractError("digits must be 0 or more")
    if hasattr(metric, "curve") and attribute(metric, "curve", int) < 0:
        raise ContractError("curve must be the length of the vector that it returns, or 0 for a number")
    summary = getattr(metric, "summary", "mean")
    if summary not in get_args(Summary):
        raise ContractError(f"summary is {summary!r}, none of {', '.join(get_args(Summary))}")
    curve = f", a curve of {metric.curve}, of which tables show: {summary}" if getattr(metric, "curve", 0) else ""
    return f"{title}, {better} is better{curve}"


def _defined(subject: MetricSubject) -> str:
    found = subject.values(ordinary().copy())
    if np.isnan(found).all():
        raise ContractError("NaN, where map and mask both have foreground and background")
    if subject.curve:
        return f"{np.nanmin(found):.4f} to {np.nanmax(found):.4f}"
    return f"{found[0]:.4f}"


def _hard(subject: MetricSubject) -> str:
    undefined = [case.name for case in hard() if np.isnan(subject.values(case.copy(writable=False))).all()]
    return f"NaN for: {', '.join(undefined)}" if undefined else "all defined"


def _direction(subject: MetricSubject) -> str:
    if getattr(subject.metric, "summary", "mean") == "none":
        return "no table shows it"
    case = ordinary()
    perfect = subject.value(Case("perfect map", case.image, case.mask.astype(np.float32), case.mask))
    wrong = subject.value(Case("inverted map", case.image, (~case.mask).astype(np.float32), case.mask))
    if math.isnan(perfect):
        raise ContractError("NaN for a perfect map")
    better = subject.metric.better
    said = f"perfect {perfect:.4f}, inverted {wrong:.4f}, and {better} is better"
    if perfect == wrong or math.isnan(wrong):
        return Remark(f"{said}: it does not tell the two apart")
    if (perfect > wrong) != (better == "higher"):
        raise ContractError(said)
    return said


def _twice(subject: MetricSubject) -> str:
    one, two = (subject.values(ordinary().copy()) for _ in range(2))
    if not np.array_equal(one, two, equal_nan=True):
        raise ContractError(f"{_differing(one, two)} the first time, {_differing(two, one)} the second")
    return ""


def _unchanged(subject: MetricSubject) -> str:
    case = ordinary().copy()
    subject.values(case)
    if not (np.array_equal(case.probs, ordinary().probs) and np.array_equal(case.mask, ordinary().mask)):
        raise ContractError("the call wrote into its input")
    subject.values(ordinary().copy(writable=False))
    return "and read-only ones are taken"


def _pickled(subject: MetricSubject) -> str:
    copy, case = pickle.loads(pickle.dumps(subject.metric)), ordinary()
    if not np.array_equal(subject.values(case, copy), subject.values(case), equal_nan=True):
        raise ContractError("unpickled, it gives another value")
    return "and unpickled, it gives the same value"


def _differing(values: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """The first value where the two are not the same."""
    return float(values[np.argmax(~((values == others) | (np.isnan(values) & np.isnan(others))))])
