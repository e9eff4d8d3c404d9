"""In a worker process of the cluster: one stage after the other, each in a process of its own."""

from __future__ import annotations

from bench.execution.engines import Outcome
from bench.execution.engines.local import Isolated
from bench.execution.engines.warm import Warm
from bench.execution.stages import Stage
from bench.runtime.progress import heard_by

_warm = Warm(threads=1, most=1)
"""It ends with this process. A node has a worker for each CPU, so that each may keep little."""


def run(stage: Stage) -> tuple[Outcome, list[str]]:
    """Run a stage; how it ended, and the notes meanwhile."""
    notes: list[str] = []
    with heard_by(lambda what: notes.append(what) if isinstance(what, str) else None):
        outcome = Isolated(stage, _warm).run()
    return outcome, notes
