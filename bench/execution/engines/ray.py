"""Stages as tasks of a Ray cluster; its machines must see the store and the data under the same paths.

Joins the cluster that ``RAY_ADDRESS`` names, else starts one on this machine. A task lets its stage run in a process of
its own, as the engine ``local`` does, with what that gives: memory, limit, an end that leaves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import ray

from bench.execution.engines import Outcome, Told
from bench.execution.engines.local import isolate
from bench.execution.stages import Stage


def execute(stages: Iterable[Stage], told: Told) -> None:
    """See `bench.execution.engines`."""
    ray.init(ignore_reinit_error=True, include_dashboard=False, log_to_driver=False)
    running: dict[str, Any] = {}
    started: dict[Any, Stage] = {}
    for stage in stages:
        gpus = 1 if stage.job.device == "cuda" else 0
        before = [running[name] for name in stage.needs]
        running[stage.name] = _attempt.options(num_cpus=1, num_gpus=gpus).remote(stage, *before)
        started[running[stage.name]] = stage
    pending = list(started)
    while pending:
        (reference,), pending = ray.wait(pending, num_returns=1)
        if not told(started[reference], ray.get(reference)):
            for rest in pending:
                ray.cancel(rest, force=True)
            return


@ray.remote(max_retries=0)
def _attempt(stage: Stage, *before: Outcome) -> Outcome:
    return next((outcome for outcome in before if outcome.error), None) or isolate(stage)
