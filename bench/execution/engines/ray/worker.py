"""In a worker process of the cluster: one stage after the other, each in a process of its own."""

from __future__ import annotations

import time
from typing import Any

from bench.execution.engines import Outcome
from bench.execution.engines.local import Isolated
from bench.execution.engines.ray.remote import EVERY
from bench.execution.engines.warm import Warm
from bench.execution.stages import Stage
from bench.runtime.progress import Step, heard_by

_warm = Warm(threads=1, most=1)
"""It ends with this process. A node has a worker for each CPU, so that each may keep little."""


def run(stage: Stage, ear: Any) -> tuple[Outcome, list[str]]:
    """Run a stage; how it ended, and the notes meanwhile.

    Args:
        ear: a `bench.execution.engines.ray.remote.Ear`, which is told how far it is.
    """
    notes: list[str] = []
    said = 0.0

    def hear(what: Step | str) -> None:
        nonlocal said
        if isinstance(what, str):
            notes.append(what)
        elif what.done == 1 or time.monotonic() - said >= EVERY:
            said = time.monotonic()
            ear.hear.remote(stage.name, tuple(what))

    with heard_by(hear):
        outcome = Isolated(stage, _warm).run()
    return outcome, notes
