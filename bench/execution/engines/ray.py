"""Stages as tasks of a Ray cluster; its machines must see the store and the data under the same paths.

Joins the cluster that ``RAY_ADDRESS`` names, else starts one on this machine. A task lets its stage run in a process of
its own, as the engine ``local`` does, with what that gives: memory, limit, an end that leaves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ray

from bench.execution.engines import Outcome, Placement, Told
from bench.execution.engines.agenda import Agenda, Taken, side_by_side
from bench.execution.engines.local import Isolated
from bench.execution.engines.warm import Warm
from bench.execution.stages import Stage


def execute(stages: Sequence[Stage], told: Told, placement: Placement) -> None:
    """See `bench.execution.engines`."""
    ray.init(ignore_reinit_error=True, include_dashboard=False, log_to_driver=False)
    side_by_side(Agenda(stages, told), _Tasks())


class _Tasks:
    """A `bench.execution.engines.agenda.Pool`."""

    def __init__(self) -> None:
        self._started: dict[Any, Taken] = {}

    @property
    def busy(self) -> bool:
        return bool(self._started)

    @property
    def has_room(self) -> bool:
        return True

    def start(self, taken: Taken) -> None:
        gpus = 1 if taken.stage.job.device == "cuda" else 0
        self._started[_attempt.options(num_cpus=1, num_gpus=gpus).remote(taken.stage)] = taken

    def wait(self, seconds: float | None) -> list[tuple[Taken, Outcome]]:
        ended, _ = ray.wait(list(self._started), num_returns=1, timeout=seconds)
        return [(self._started.pop(reference), ray.get(reference)) for reference in ended]

    def stop(self) -> None:
        for reference in self._started:
            ray.cancel(reference, force=True)
        self._started.clear()


@ray.remote(max_retries=0)
def _attempt(stage: Stage) -> Outcome:
    return Isolated(stage, _warm).run()


_warm = Warm()
"""Of a worker of Ray's, which does many tasks; it ends with that."""
