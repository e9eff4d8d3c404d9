"""What is to be done next: stages whose needs are met, each with the lease on its work.

Other processes, here or elsewhere, may compute the same cells in the same store. What another one has in hand is left
to it, and looked at again a little later; what it has finished counts as done.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from bench.contracts import UserError
from bench.execution.engines import Outcome, Told
from bench.execution.stages import Stage
from bench.runtime.progress import note
from bench.store import Lease
from bench.store.leases import PAUSE

LOSSES = 3
"""After so many a stage has failed: something takes its leases away, and no other run does the work."""


@dataclass(frozen=True)
class Taken:
    """A stage that can be run now.

    Attributes:
        stage: its job carries the lease.
        lease: is given back when the stage has ended.
    """

    stage: Stage
    lease: Lease


class Agenda:
    """The stages that are left.

    Args:
        stages: all of them, each after those it needs.
        told: as of an engine.

    Attributes:
        stopped: ``told`` has said that nothing more is to be started.
    """

    def __init__(self, stages: Iterable[Stage], told: Told) -> None:
        self._left, self._told = list(stages), told
        self._ended: dict[str, Outcome] = {}
        self._looked_at: set[str] = set()
        self._waited_for: set[str] = set()
        self._losses: Counter[str] = Counter()
        self.stopped = False

    @property
    def over(self) -> bool:
        """Nothing is left to be started."""
        return not self._left

    def take(self) -> Taken | None:
        """The next stage that can be run; None where all that is left waits for others, or nothing is left."""
        for stage in list(self._left):
            if self.over:
                break
            outcomes = [self._ended.get(name) for name in stage.needs]
            broken = next((outcome for outcome in outcomes if outcome is not None and outcome.error), None)
            if broken is not None:
                self._end(stage, broken)
            elif None not in outcomes:
                try:
                    taken = self._claim(stage)
                except UserError as error:
                    self._end(stage, Outcome.of(error))
                    continue
                if taken is not None:
                    return taken
        return None

    def ended(self, taken: Taken, outcome: Outcome) -> None:
        """Tell how a stage ended that was taken."""
        taken.stage.job.store.leases.give_back(taken.lease)
        name = taken.stage.name
        self._losses[name] += outcome.lost
        if outcome.lost and self._losses[name] < LOSSES:
            note(f"another process has taken over: {name}")
            self._left.insert(0, replace(taken.stage, job=replace(taken.stage.job, lease=None)))
        elif outcome.lost:
            what = f"its work was taken away {LOSSES} times"
            fix = "find out what deletes files in the store, then run the same command again"
            self._tell(taken.stage, Outcome.of(UserError(what, name, fix)))
        else:
            self._tell(taken.stage, outcome)

    def _claim(self, stage: Stage) -> Taken | None:
        """The stage with its lease; None where there is nothing to do, or another process does it."""
        # The first look needs no lease; later ones are worth it only when whoever works on it has ended.
        if stage.name not in self._looked_at:
            self._looked_at.add(stage.name)
            if stage.is_done:
                self._end(stage, Outcome(found=True))
                return None
        leases = stage.job.store.leases
        lease = leases.take(stage.task)
        if lease is None:
            self._say_who(stage)
            return None
        if stage.is_done:  # by whoever had the lease when we looked first
            leases.give_back(lease)
            self._end(stage, Outcome(found=True))
            return None
        self._left.remove(stage)
        return Taken(replace(stage, job=replace(stage.job, lease=lease)), lease)

    def _say_who(self, stage: Stage) -> None:
        if stage.name not in self._waited_for:
            self._waited_for.add(stage.name)
            holder = stage.job.store.leases.holder(stage.task)
            if holder:
                note(f"left to {holder}: {stage.name}")

    def _end(self, stage: Stage, outcome: Outcome) -> None:
        self._left.remove(stage)
        self._tell(stage, outcome)

    def _tell(self, stage: Stage, outcome: Outcome) -> None:
        self._ended[stage.name] = outcome
        if not self._told(stage, outcome):
            self.stopped = True
            self._left.clear()


def one_by_one(stages: Iterable[Stage], told: Told, run: Callable[[Stage], Outcome]) -> None:
    """An engine that ends each stage before it begins the next; those that need a failed one fail with it."""
    agenda = Agenda(stages, told)
    while not agenda.over:
        taken = agenda.take()
        if taken is not None:
            agenda.ended(taken, run(taken.stage))
        elif not agenda.over:
            time.sleep(PAUSE)
