"""Stages one after another in this process: for breakpoints, notebooks and fast tests.

A defect can be looked at where it arose, and nothing has to start. The price: what a stage measures of memory is this
process's, not its own, so it is left out; a crash takes all with it; and seeds set in a stage are set here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bench.contracts import UserError
from bench.execution.engines import Outcome, Placement, Told, attempt
from bench.execution.engines.agenda import Agenda, Taken, side_by_side
from bench.execution.stages import Stage
from bench.runtime.progress import in_stage


def execute(stages: Sequence[Stage], told: Told, placement: Placement) -> None:
    """See `bench.execution.engines`. Raises UserError where several are to run side by side."""
    if placement.jobs not in (None, 1):
        raise UserError("one process runs one stage at a time", "--engine inline --jobs", "take --engine local")
    side_by_side(Agenda(stages, told), _Here())


class _Here:
    """A `bench.execution.engines.agenda.Pool`: a stage is at work while it is waited for."""

    def __init__(self) -> None:
        self._taken: Taken | None = None

    @property
    def busy(self) -> bool:
        return self._taken is not None

    @property
    def has_room(self) -> bool:
        return self._taken is None

    def start(self, taken: Taken) -> None:
        self._taken = taken

    def wait(self, seconds: float | None) -> list[tuple[Taken, Outcome]]:
        assert self._taken is not None
        taken, self._taken = self._taken, None
        stage = taken.stage
        with in_stage(stage.name):
            return [(taken, attempt(replace(stage, job=replace(stage.job, own_process=False))))]

    def stop(self) -> None:
        self._taken = None
