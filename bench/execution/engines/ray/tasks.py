"""Stages at work as tasks of a cluster; what the cluster loses of them is tried again."""

from __future__ import annotations

import pickle
import random
import time
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from bench.contracts import UserError
from bench.execution.engines import Outcome
from bench.execution.engines.agenda import Taken
from bench.execution.engines.ray import needs, worker
from bench.execution.engines.ray.cluster import LOOK, Cluster
from bench.execution.engines.ray.needs import Needs
from bench.execution.engines.ray.remote import Ear, home, run
from bench.redaction import one_line
from bench.runtime.child import GRACE
from bench.runtime.failures import summarised
from bench.runtime.progress import Step, hand_on, note

RETRIES = 5
"""Further attempts at a stage that was lost: nodes that are taken back by their owner come in bursts, but a stage that
ends its node each time must not take all of them down."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before the second attempt, doubled for each one after it: a node that restarts needs a minute or so."""

JITTER = (0.5, 1.5)
"""What a pause is multiplied by, drawn anew for each: those lost together do not come back together."""

QUEUED = 2
"""Stages that wait in the cluster beside those it has CPUs for, so that none idles. Each holds its lease meanwhile."""

PATIENCE = 60.0
"""Seconds that a stage waits for a node to come back, once none that is left could run it."""

LOST: dict[type[BaseException], str] = {
    exceptions.OutOfMemoryError: "Ray ended it as its node ran out of memory",
    exceptions.NodeDiedError: "its node is gone",
    exceptions.LocalRayletDiedError: "its node is gone",
    exceptions.WorkerCrashedError: "its process was killed, or its node is gone",
    exceptions.ObjectLostError: "its node is gone with what it sent",
    exceptions.RaySystemError: "Ray failed",
}
"""What the cluster says of a task that it has lost, in words; nothing of it is the stage's own doing."""


@dataclass(frozen=True)
class _Attempt:
    """A stage in the cluster, or about to be.

    Attributes:
        number: from 1.
        due: when it may start, of the monotonic clock.
    """

    taken: Taken
    needs: Needs
    number: int = 1
    due: float = 0.0


class Tasks:
    """A `bench.execution.engines.agenda.Pool`.

    Args:
        cluster: where they run.
        jobs: how many at most; None as many as it has CPUs for, and a few that wait.
    """

    def __init__(self, cluster: Cluster, jobs: int | None) -> None:
        self._cluster, self._jobs = cluster, jobs
        self._home = home()
        self._task = ray.remote(run)
        self._at_work: dict[Any, _Attempt] = {}
        self._again: list[_Attempt] = []
        self._ended: list[tuple[Taken, Outcome]] = []
        self._pixels: dict[str, int] = {}
        self._unfit_since: dict[Any, float] = {}
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        self._ear = ray.remote(Ear).options(num_cpus=0, scheduling_strategy=here).remote()
        self._hearing: list[Any] = [self._ear.told.remote()]

    @property
    def busy(self) -> bool:
        return bool(self._at_work or self._again or self._ended)

    @property
    def has_room(self) -> bool:
        # One that is tried again goes first, but takes no room until then.
        due = [attempt for attempt in self._again if attempt.due <= time.monotonic()]
        under_way = [*self._at_work.values(), *due]
        if self._jobs is not None:
            return len(under_way) < self._jobs
        return sum(attempt.needs.cpus for attempt in under_way) < self._cluster.cpus + QUEUED

    def start(self, taken: Taken) -> None:
        if taken.stage.job.device == "cuda" and not self._cluster.has_gpus:
            raise UserError("no node of the cluster has a GPU", "--device cuda", "let one join, or leave it out")
        asked = needs.of(taken.stage, self._cluster, self._pixels_of(taken))
        if not asked.fit(self._cluster):
            self._ended.append((taken, Outcome.of(asked.refusal(self._cluster))))
            return
        self._submit(_Attempt(taken, asked))

    def wait(self, seconds: float | None) -> list[tuple[Taken, Outcome]]:
        end = float("inf") if seconds is None else time.monotonic() + seconds
        while not self._ended:
            self._start_again()
            self._give_up_on_the_unfit()
            now = time.monotonic()
            pause = max(0.0, min([end - now, LOOK, *(attempt.due - now for attempt in self._again)]))
            if self._at_work:
                for reference in ray.wait([*self._at_work, *self._hearing], num_returns=1, timeout=pause)[0]:
                    if reference in self._at_work:
                        self._end(reference)
                    else:
                        self._hear(reference)
            elif not self._ended:
                time.sleep(pause)
            if time.monotonic() >= end:
                break
        found, self._ended = self._ended, []
        return found

    def stop(self) -> None:
        # At first as by Ctrl-C: a task then ends its process before it ends, and nothing of it writes on.
        left = list(self._at_work)
        for force in (False, True):
            for reference in left:
                ray.cancel(reference, force=force)
            if left:
                _, left = ray.wait(left, num_returns=len(left), timeout=2 * GRACE)
        self._at_work, self._again, self._ended = {}, [], []
        ray.kill(self._ear)

    def _hear(self, reference: Any) -> None:
        at_work = {attempt.taken.stage.name for attempt in self._at_work.values()}
        try:
            for stage, step in ray.get(reference).items():
                if stage in at_work:  # else it has ended meanwhile
                    hand_on(Step(*step), stage)
            self._hearing = [self._ear.told.remote()]
        except exceptions.RayError:
            self._hearing = []  # it is gone: nobody hears how far the stages are, and they go on

    def _submit(self, attempt: _Attempt) -> None:
        asked, stage = attempt.needs, attempt.taken.stage
        if not asked.gpus and stage.job.device != "cpu":
            stage = replace(stage, job=replace(stage.job, device="cpu"))  # the node may have one that is another's
        options: dict[str, Any] = {
            "num_cpus": asked.cpus,
            "num_gpus": asked.gpus,
            "memory": int(asked.memory * 2**20),
            "name": stage.name,
            "max_retries": 0,  # here, with another lease
        }
        reference = self._task.options(**options).remote(self._home, pickle.dumps((worker.run, stage)), self._ear)
        self._at_work[reference] = attempt

    def _end(self, reference: Any) -> None:
        attempt = self._at_work.pop(reference)
        self._unfit_since.pop(reference, None)
        try:
            found = ray.get(reference)
            if isinstance(found, str):
                raise UserError(found, "--engine ray", "install the same version on all nodes of the cluster")
            outcome, notes = found
        except exceptions.RayTaskError as error:
            outcome, notes = Outcome.of(error.cause), []  # the node cannot import what the stage needs
        except tuple(LOST) as error:
            why = next(said for kind, said in LOST.items() if isinstance(error, kind))
            self._lost(attempt, why, memory=isinstance(error, exceptions.OutOfMemoryError))
            return
        except exceptions.RayError as error:
            fix = "look after the cluster, and run the same command again: it resumes"
            outcome, notes = Outcome.of(UserError(summarised(error), attempt.taken.stage.name, fix)), []
        for text in notes:
            note(text)
        if outcome.killed:
            self._lost(attempt, "its process was killed (the out-of-memory killer, if nobody did)", memory=True)
            return
        self._ended.append((attempt.taken, outcome))

    def _lost(self, attempt: _Attempt, why: str, *, memory: bool) -> None:
        name = attempt.taken.stage.name
        if attempt.number > RETRIES:
            fix = "look after the cluster, or free memory, and run the same command again: it resumes"
            said = UserError(f"lost {attempt.number} times, at last: {why}", name, fix)
            self._ended.append((attempt.taken, Outcome.of(said)))
            return
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (attempt.number - 1)) * random.uniform(*JITTER)
        asked = attempt.needs.more(self._cluster) if memory else attempt.needs
        more = f" with {asked.memory:.0f} MiB" if asked != attempt.needs else ""
        note(f"lost, {one_line(why)}; attempt {attempt.number + 1} of {RETRIES + 1} in {pause:.1f} s{more}: {name}")
        self._again.append(_Attempt(attempt.taken, asked, attempt.number + 1, time.monotonic() + pause))

    def _start_again(self) -> None:
        now = time.monotonic()
        due = [attempt for attempt in self._again if attempt.due <= now]
        self._again = [attempt for attempt in self._again if attempt.due > now]
        for attempt in due:
            taken = attempt.taken
            leases = taken.stage.job.store.leases
            try:
                # What runs on a node that is only out of reach has the old one: it can finish nothing with it, and
                # writes into a folder of its own.
                lease = leases.renew(taken.lease)
            except UserError as error:
                self._ended.append((taken, Outcome.of(error)))
                continue
            if lease is None:
                self._ended.append((taken, Outcome(lost=True)))
                continue
            stage = replace(taken.stage, job=replace(taken.stage.job, lease=lease))
            self._submit(replace(attempt, taken=Taken(stage, lease)))

    def _give_up_on_the_unfit(self) -> None:
        """Those that no node could run which is left; Ray would wait for ever."""
        now = time.monotonic()
        for reference, attempt in list(self._at_work.items()):
            if attempt.needs.fit(self._cluster):
                self._unfit_since.pop(reference, None)
            elif now - self._unfit_since.setdefault(reference, now) >= PATIENCE:
                ray.cancel(reference, force=True)
                del self._at_work[reference], self._unfit_since[reference]
                self._ended.append((attempt.taken, Outcome.of(attempt.needs.refusal(self._cluster))))

    def _pixels_of(self, taken: Taken) -> int:
        """Of the first test image: those of a dataset are of about one size."""
        cell = taken.stage.job.cell
        key = cell.prints["test"]
        if key not in self._pixels:
            try:
                self._pixels[key] = taken.stage.job.samples("test")[0].mask.size
            except (UserError, IndexError):
                self._pixels[key] = 0  # the stage itself says what is wrong
        return self._pixels[key]
