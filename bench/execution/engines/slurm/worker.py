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

from bench.execution.engines import Carried, Outcome, Placement, Told, load
from bench.execution.engines.journal import End, Heard, HeardError, Journal
from bench.execution.stages import Stage
from bench.runtime.failures import Stopped

MOMENT = 1.0
"""Seconds within which a signal that has ended a stage's process has come here, too."""

KILLED_IN = 120.0
"""Seconds to wait, once told to end, for the signal to put this job into the queue again, or for the end."""


@dataclass
class Worker(Checkpointable):
    """Called by `submitit` on a node; called again, where SLURM has stopped it, it goes on with what is left.

    Attributes:
        plan: the file with the pickled `Carried`.
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
        carried: Carried = pickle.loads(self.plan.read_bytes())
        heard = Heard(self.journals, self.before)
        here = _Here(carried, heard, Journal(self.journals[self.place]), self.watched)

        def engine(stages: Sequence[Stage], told: Told, placement: Placement) -> None:
            # Each begins elsewhere, lest all want the same lease; what a stage needs still comes before it.
            first = self.place * len(stages) // len(self.journals)
            turned = [heard.unless_failed(stage) for stage in (*stages[first:], *stages[:first])]
            load("local")(turned, here, placement)

        if "SUBMITIT_EXECUTOR" in os.environ:  # it has a process to itself
            signal.signal(signal.SIGTERM, _stop)
        try:
            carried.carry_out(engine, Placement(jobs=1))
        except Stopped:
            time.sleep(KILLED_IN)
            raise
        except Exception:
            if not here.stopped:  # else the journal tells why
                raise


class _Here:
    """A `bench.execution.engines.Told`: enters into the store what has become of a stage, and tells the others.

    Attributes:
        stopped: by a failure, after which nothing more is to be started.
    """

    def __init__(self, told: Told, heard: Heard, journal: Journal, watched: bool) -> None:
        self._told, self._heard, self._journal, self._watched = told, heard, journal, watched
        self.stopped = False

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
        self.stopped = not goes_on
        return goes_on


def _stop(*_: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped(1)
