"""Stages as tasks of a Ray cluster; its machines must see the store and the data under the same paths.

Joins the cluster that ``RAY_ADDRESS`` names, else starts one on this machine. A task lets its stage run in a process of
its own, as the engine ``local`` does, with what that gives: memory, limit, an end that leaves nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import ray

from bench.execution.engines import Outcome, Told
from bench.execution.engines.agenda import Agenda, Taken
from bench.execution.engines.local import isolate
from bench.execution.stages import Stage
from bench.store.leases import PAUSE


def execute(stages: Iterable[Stage], told: Told) -> None:
    """See `bench.execution.engines`."""
    ray.init(ignore_reinit_error=True, include_dashboard=False, log_to_driver=False)
    agenda = Agenda(stages, told)
    started: dict[Any, Taken] = {}
    while started or not agenda.over:
        while (taken := agenda.take()) is not None:
            gpus = 1 if taken.stage.job.device == "cuda" else 0
            started[_attempt.options(num_cpus=1, num_gpus=gpus).remote(taken.stage)] = taken
        if not started:
            time.sleep(PAUSE)
            continue
        # Not for ever: what other processes have in hand may be done meanwhile.
        ended, _ = ray.wait(list(started), num_returns=1, timeout=None if agenda.over else PAUSE)
        for reference in ended:
            agenda.ended(started.pop(reference), ray.get(reference))
        if agenda.stopped:
            for rest in started:
                ray.cancel(rest, force=True)
            return


@ray.remote(max_retries=0)
def _attempt(stage: Stage) -> Outcome:
    return isolate(stage)
