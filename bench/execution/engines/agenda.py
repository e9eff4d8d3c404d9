"""What is to be done next: stages whose needs are met, each with the lease on its work.

Other processes, here or elsewhere, may compute the same cells in the same store. What another one has in hand is left
to it, and looked at again once there is nothing else to do; what it has finished counts as done.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from bench.contracts import UserError
from bench.execution.engines import Outcome, Told
from bench.execution.stages import Stage
from bench.runtime.progress import Step, hand_on, note
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
    """The stages that are left. What it does for each takes the same time however many there are.

    Args:
        stages: all of them, each after those it needs.
        told: as of an engine.

    Attributes:
        stopped: ``told`` has said that nothing more is to be started.
    """

    def __init__(self, stages: Sequence[Stage], told: Told) -> None:
        self._told, self.stopped = told, False
        self._stages = {stage.name: stage for stage in stages}
        self._places = {name: place for place, name in enumerate(self._stages)}
        self._names = list(self._stages)
        self._unmet = {stage.name: {*stage.needs} for stage in self._stages.values()}
        self._needed_by: dict[str, list[str]] = defaultdict(list)
        for stage in self._stages.values():
            for name in dict.fromkeys(stage.needs):
                self._needed_by[name].append(stage.name)
        # By their places, so that what comes first in the plan is done first.
        self._ready = [place for place, name in enumerate(self._names) if not self._unmet[name]]
        self._held: list[int] = []
        self._looked = 0.0
        self._left = {*self._names}
        self._looked_at: set[str] = set()
        self._waited_for: set[str] = set()
        self._losses: Counter[str] = Counter()

    @property
    def over(self) -> bool:
        """Nothing is left to be started."""
        return not self._left

    def take(self) -> Taken | None:
        """The next stage that can be run; None where all that is left waits for others, or nothing is left."""
        if not self._ready and time.monotonic() - self._looked >= PAUSE:
            self._looked = time.monotonic()
            self._ready, self._held = sorted(self._held), []
        while self._ready and not self.over:
            place = heapq.heappop(self._ready)
            name = self._names[place]
            if name not in self._left:
                continue
            try:
                taken = self._claim(self._stages[name])
            except UserError as error:
                self._end(self._stages[name], Outcome.of(error))
                continue
            if taken is not None:
                return taken
            if name in self._left:
                self._held.append(place)
        return None

    def ended(self, taken: Taken, outcome: Outcome) -> None:
        """Tell how a stage ended that was taken."""
        try:
            self._ended(taken, outcome)
        finally:
            # Last: who waits for the lease then knows what has become of the stage.
            taken.stage.job.store.leases.give_back(taken.lease)

    def _ended(self, taken: Taken, outcome: Outcome) -> None:
        name = taken.stage.name
        self._losses[name] += outcome.lost
        if outcome.lost and self._losses[name] < LOSSES:
            note(f"another process has taken over: {name}")
            if not self.stopped:
                self._left.add(name)
                heapq.heappush(self._ready, self._places[name])
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
        taken = Taken(replace(stage, job=replace(stage.job, lease=lease)), lease)
        try:
            done = taken.stage.is_done  # by whoever had the lease when we looked first
        except UserError:
            leases.give_back(lease)
            raise
        if done:
            leases.give_back(lease)
            self._end(stage, Outcome(found=True))
            return None
        self._left.remove(stage.name)
        hand_on(Step(stage.name, 0, None), stage.name)  # it begins: whoever listens hears that first of all
        return taken

    def _say_who(self, stage: Stage) -> None:
        if stage.name not in self._waited_for:
            self._waited_for.add(stage.name)
            holder = stage.job.store.leases.holder(stage.task)
            if holder:
                note(f"left to {holder}: {stage.name}")

    def _end(self, stage: Stage, outcome: Outcome) -> None:
        self._left.remove(stage.name)
        self._tell(stage, outcome)

    def _tell(self, stage: Stage, outcome: Outcome) -> None:
        """Those that need a failed one fail with it."""
        ended = deque([stage])
        while ended:
            stage = ended.popleft()
            if not self._told(stage, outcome):
                self.stopped = True
                self._left.clear()
                return
            for name in self._needed_by[stage.name]:
                if outcome.error and name in self._left:
                    self._left.remove(name)
                    ended.append(self._stages[name])
                    continue
                self._unmet[name].discard(stage.name)
                if not self._unmet[name] and name in self._left:
                    heapq.heappush(self._ready, self._places[name])


class Pool(Protocol):
    """Where the stages of an agenda are at work.

    Attributes:
        busy: some are.
        has_room: one more may be started.
    """

    @property
    def busy(self) -> bool: ...

    @property
    def has_room(self) -> bool: ...

    def start(self, taken: Taken) -> None:
        """Set a stage to work."""
        ...

    def wait(self, seconds: float | None) -> list[tuple[Taken, Outcome]]:
        """Those that have ended; of none before that time is over, an empty list.

        Args:
            seconds: None waits for one.
        """
        ...

    def stop(self) -> None:
        """End what is at work, however that is; nothing of it is told."""
        ...


def side_by_side(agenda: Agenda, pool: Pool) -> None:
    """Let a pool do what is on the agenda."""
    try:
        while pool.busy or not agenda.over:
            while pool.has_room and (taken := agenda.take()) is not None:
                pool.start(taken)
            if pool.busy:
                # Not for ever where there is room: what other processes have in hand may be done meanwhile.
                for one, outcome in pool.wait(None if agenda.over or not pool.has_room else PAUSE):
                    agenda.ended(one, outcome)
            elif not agenda.over:
                time.sleep(PAUSE)
            if agenda.stopped:
                return
    finally:
        pool.stop()
