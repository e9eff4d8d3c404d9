"""Whether a refiner keeps to the cost it declares."""

from __future__ import annotations

import math
import time
from functools import partial
from pathlib import Path

import psutil

from bench.conformance.declared import stand_ins
from bench.conformance.maps import Subject, outputs
from bench.conformance.material import ordinary, scene
from bench.conformance.report import Check, ContractError, Remark
from bench.contracts import Budget
from bench.execution.measure import MIB, Cost, Meter
from bench.plugins.entry_points import defaults_of
from bench.plugins.variants import SequenceVariant, Variant
from bench.runtime.allocating import give_back

SIDE = 512
REPEATS = 3
"""Calls that are timed; the quickest counts, as others share the machine."""

PATIENCE = 5.0
"""Seconds in which one that takes longer than it says is called again: the machine may be busy."""


def cost_check(subject: Subject, variant: Variant) -> Check:
    """Seconds and memory of one 512x512 image against `bench.contracts.Costed`."""
    return Check("cost", lambda: _cost(subject, variant))


def _cost(subject: Subject, variant: Variant) -> str:
    budget = getattr(variant.entry.factory, "cost", None)
    if budget is not None and not isinstance(budget, Budget):
        raise ContractError(f"cost is {budget!r}; declare bench.contracts.Budget(seconds=..., memory_mb=...)")
    seconds, memory = _measured(subject, budget.seconds if budget else math.inf)
    measured = f"{seconds:.3f} s and {memory:.0f} MiB for {SIDE}x{SIDE}"
    if isinstance(variant, SequenceVariant):
        return f"{measured}, all parts together"
    if budget is None:
        return Remark(f"{measured}; none is declared: double it and write cost = Budget(seconds=..., memory_mb=...)")
    declared = f"{measured}; declared {budget.seconds:g} s and {budget.memory_mb:g} MiB"
    # Weights change what comes out, not what it costs: so can one be held to it that takes hours to train.
    defaults = defaults_of(variant.entry) | stand_ins(variant.entry)
    named = variant.parameters | {name: nested.label for name, nested in variant.nested.items()}
    changed = [value for name, value in named.items() if value != defaults[name]]
    if not all(isinstance(value, Path) for value in changed):
        return Remark(f"{declared}, for the default parameters")
    if seconds > budget.seconds or memory > budget.memory_mb:
        raise ContractError(declared)
    return declared


def _measured(subject: Subject, most: float) -> tuple[float, float]:
    """Seconds, and growth of the resident memory in MiB.

    Args:
        most: seconds that are enough.
    """
    meter, case = Meter("cpu"), scene(SIDE, SIDE)
    outputs(subject, subject.ready, [ordinary().copy()])  # loads the libraries it needs
    give_back()  # the plug-in would grow into what drawing the image took, unseen
    before = psutil.Process().memory_info().rss / MIB
    costs: list[Cost] = []
    end = time.monotonic() + PATIENCE
    while len(costs) < REPEATS or (min(cost.seconds for cost in costs) > most and time.monotonic() < end):
        _, cost = meter(partial(subject.apply, subject.ready, [case.copy()]))
        costs.append(cost)
    peak = max(cost.peak_rss_mb or 0.0 for cost in costs)
    return min(cost.seconds for cost in costs), max(0.0, peak - before)
