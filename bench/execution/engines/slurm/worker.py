"""What runs on a node: one of the workers of a run, which does of its stages what no other one has in hand."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from submitit.helpers import Checkpointable

from bench.execution.engines import Outcome, Placement, Told, load
from bench.execution.engines.journal import End, Heard, HeardError, Journal
from bench.execution.stages import Stage
from bench.execution.underway import keeping
from bench.runtime.failures import Stopped

MOMENT = 1.0
"""Seconds within which a signal that has ended a stage's process has come here, too."""

KILLED_IN = 120.0
"""Seconds to wait, once told to end, for the signal to put this job into the queue again, or for the end."""


@dataclass
class Worker(Checkpointable):
    """Called by `submitit` on a node; called again, where SLURM has stopped it, it goes on with what is left.

    Attributes:
        plan: the file with the pickled stages and whom to tell of them.
        place: which of the workers it is, from 0.
        journals: of all workers of its array.
        before: of the arrays before.
        watched: somebody waits for the end, and tries what was killed again.
    """

    plan: Path
    place: int
    journals: Sequence[Path]
    before: Sequence[Path] = ()
    watched: bool = True

    def __call__(self) -> None:
        stages, told = read_plan(self.plan)
        heard = Heard(self.journals, self.before)
        # Each begins elsewhere, lest all want the same lease; what a stage needs still comes before it.
        first = self.place * len(stages) // len(self.journals)
        turned = [heard.unless_failed(stage) for stage in (*stages[first:], *stages[:first])]
        store, here = stages[0].job.store, _Here(told, heard, Journal(self.journals[self.place]), self.watched)
        if "SUBMITIT_EXECUTOR" in os.environ:  # it has a process to itself
            signal.signal(signal.SIGTERM, _stop)
        try:
            with keeping(store, stages):
                load("local")(turned, here, Placement(jobs=1))
        except Stopped:
            time.sleep(KILLED_IN)
            raise
        store.tidy()


def write_plan(path: Path, stages: Sequence[Stage], told: Told) -> None:
    """For `read_plan`."""
    path.write_bytes(pickle.dumps((list(stages), told)))


def read_plan(path: Path) -> tuple[list[Stage], Told]:
    """The stages of a run, and whom to tell how they end."""
    stages, told = pickle.loads(path.read_bytes())
    return stages, told


class _Here:
    """A `bench.execution.engines.Told`: enters into the store what has become of a stage, and tells the others."""

    def __init__(self, told: Told, heard: Heard, journal: Journal, watched: bool) -> None:
        self._told, self._heard, self._journal, self._watched = told, heard, journal, watched

    def __call__(self, stage: Stage, outcome: Outcome) -> bool:
        raised = outcome.raised
        heard = isinstance(raised, HeardError)
        if isinstance(raised, HeardError):
            if raised.end.last:
                return False
            if self._heard.has(stage.name):
                return True
            outcome = raised.end.outcome  # of what the stage needs, and whoever had that was stopped then
        elif outcome.error:
            # SLURM signals all processes of a job: one that died of that has not failed, and this one ends, too.
            time.sleep(MOMENT)
        goes_on = (outcome.killed and self._watched) or self._told(stage, outcome)
        if not (outcome.found and self._heard.has(stage.name)):
            self._journal.add(End(stage.name, outcome, last=not goes_on, heard=heard))
        return goes_on


def _stop(*_: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped(1)
