"""Stages one after another in this process: for breakpoints, notebooks and fast tests.

A defect can be looked at where it arose, and nothing has to start. The price: what a stage measures of memory is this
process's, not its own, so it is left out; a crash takes all with it; and seeds set in a stage are set here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from bench.execution.engines import Outcome, Told, attempt
from bench.execution.engines.agenda import one_by_one
from bench.execution.stages import Stage


def execute(stages: Iterable[Stage], told: Told) -> None:
    """See `bench.execution.engines`."""
    one_by_one(stages, told, _here)


def _here(stage: Stage) -> Outcome:
    return attempt(replace(stage, job=replace(stage.job, own_process=False)))
