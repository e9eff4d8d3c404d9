"""The contract of `bench.contracts.Metric`, as checks."""

from __future__ import annotations

import math
import numbers
import pickle
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from bench.conformance.declared import attribute, making_checks
from bench.conformance.material import Case, hard, ordinary
from bench.conformance.report import Check, ContractError, Remark
from bench.plugins.variants import Variant


class MetricSubject:
    """A metric under test."""

    def __init__(self, variant: Variant) -> None:
        self.variant = variant

    @cached_property
    def metric(self) -> Any:
        """The metric."""
        return self.variant.make()

    def value(self, case: Case) -> float:
        """Its value. Raises `ContractError` where that is no number, or infinite."""
        found = self.metric(case.probs, case.mask)
        if not isinstance(found, numbers.Real) or isinstance(found, bool):
            raise ContractError(f"{case.name}: returned {type(found).__name__}, not a float")
        if math.isinf(found):
            raise ContractError(f"{case.name}: returned {found}; what is undefined is NaN")
        return float(found)


def metric_checks(variant: Variant) -> Iterator[Check]:
    """All checks of a metric whose class is in order (`bench.conformance.declared.parameter_checks`)."""
    subject = MetricSubject(variant)
    yield from making_checks(variant)
    yield Check("declarations", lambda: _declarations(variant.entry.factory))
    yield Check("ordinary map", lambda: _defined(subject), vital=True)
    yield Check("hard cases", lambda: _hard(subject))
    yield Check("which end is good", lambda: _direction(subject))
    yield Check("same call twice", lambda: _twice(subject))
    yield Check("inputs unchanged", lambda: _unchanged(subject))
    yield Check("pickling", lambda: _pickled(subject))


def _declarations(factory: Any) -> str:
    title, meaning = attribute(factory, "title", str), attribute(factory, "meaning", str)
    if not title or not meaning:
        raise ContractError("title and meaning stand in every report: neither may be empty")
    better = attribute(factory, "better", str)
    if better not in ("higher", "lower"):
        raise ContractError(f"better is {better!r}, neither 'higher' nor 'lower'")
    if attribute(factory, "scale", int, float) <= 0:
        raise ContractError("scale must be above 0: 1, or 100 for fractions shown in points")
    if attribute(factory, "digits", int) < 0:
        raise ContractError("digits must be 0 or more")
    return f"{title}, {better} is better"


def _defined(subject: MetricSubject) -> str:
    found = subject.value(ordinary().copy())
    if math.isnan(found):
        raise ContractError("NaN, where map and mask both have foreground and background")
    return f"{found:.4f}"


def _hard(subject: MetricSubject) -> str:
    undefined = [case.name for case in hard() if math.isnan(subject.value(case.copy(writable=False)))]
    return f"NaN for: {', '.join(undefined)}" if undefined else "all defined"


def _direction(subject: MetricSubject) -> str:
    case = ordinary()
    perfect = subject.value(Case("perfect map", case.image, case.mask.astype(np.float32), case.mask))
    wrong = subject.value(Case("inverted map", case.image, (~case.mask).astype(np.float32), case.mask))
    if math.isnan(perfect):
        raise ContractError("NaN for a perfect map")
    better = subject.variant.entry.factory.better
    said = f"perfect {perfect:.4f}, inverted {wrong:.4f}, and {better} is better"
    if perfect == wrong or math.isnan(wrong):
        return Remark(f"{said}: it does not tell the two apart")
    if (perfect > wrong) != (better == "higher"):
        raise ContractError(said)
    return said


def _twice(subject: MetricSubject) -> str:
    one, two = (subject.value(ordinary().copy()) for _ in range(2))
    if one != two:
        raise ContractError(f"{one} the first time, {two} the second")
    return ""


def _unchanged(subject: MetricSubject) -> str:
    case = ordinary().copy()
    subject.value(case)
    if not (np.array_equal(case.probs, ordinary().probs) and np.array_equal(case.mask, ordinary().mask)):
        raise ContractError("the call wrote into its input")
    subject.value(ordinary().copy(writable=False))
    return "and read-only ones are taken"


def _pickled(subject: MetricSubject) -> str:
    copy, case = pickle.loads(pickle.dumps(subject.metric)), ordinary()
    if copy(case.probs, case.mask) != subject.value(case):
        raise ContractError("unpickled, it gives another value")
    return "and unpickled, it gives the same value"
