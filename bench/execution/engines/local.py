"""Stages in processes of their own on this machine, ``--jobs`` of them side by side.

A process of its own makes a stage's peak memory its own, and keeps a crash (a segmentation fault in a plug-in, the
kernel's out-of-memory killer) and a hang from taking the other cells with it. Where it can be, it is forked from one
that has the stage's plug-ins imported, see `bench.execution.engines.warm`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import NamedTuple

from bench.contracts import UserError
from bench.execution.engines import Outcome, Placement, Told, attempt
from bench.execution.engines.agenda import Agenda, Taken, side_by_side
from bench.execution.engines.warm import Kept, Warm
from bench.execution.stages import Stage
from bench.runtime import progress
from bench.runtime.child import GRACE, Child, Inbox, say
from bench.runtime.environment import cores
from bench.runtime.failures import DiedError


def execute(stages: Sequence[Stage], told: Told, placement: Placement) -> None:
    """See `bench.execution.engines`."""
    jobs = placement.jobs or 1
    with Warm(threads=_share(jobs)) as warm:
        side_by_side(Agenda(stages, told), _Processes(jobs, warm))


def _share(jobs: int) -> int | None:
    """Native threads of each of so many; None is what its libraries like."""
    return None if jobs == 1 else max(1, cores() // jobs)


class _Processes:
    """A `bench.execution.engines.agenda.Pool`: a thread waits for each process.

    Args:
        jobs: how many at most.
    """

    def __init__(self, jobs: int, warm: Warm) -> None:
        self._jobs, self._warm = jobs, warm
        self._at_work: dict[str, tuple[threading.Thread, Isolated]] = {}
        self._ended: SimpleQueue[tuple[Taken, Outcome]] = SimpleQueue()

    @property
    def busy(self) -> bool:
        return bool(self._at_work)

    @property
    def has_room(self) -> bool:
        return len(self._at_work) < self._jobs

    def start(self, taken: Taken) -> None:
        isolated = Isolated(taken.stage, self._warm)
        thread = threading.Thread(target=self._run, args=[taken, isolated], daemon=True)
        self._at_work[taken.stage.name] = thread, isolated
        thread.start()

    def wait(self, seconds: float | None) -> list[tuple[Taken, Outcome]]:
        try:
            taken, outcome = self._ended.get(timeout=seconds)
        except Empty:
            return []
        self._at_work.pop(taken.stage.name)[0].join()
        return [(taken, outcome)]

    def stop(self) -> None:
        for _, isolated in self._at_work.values():
            isolated.kill()
        for thread, _ in self._at_work.values():
            thread.join()
        self._at_work.clear()

    def _run(self, taken: Taken, isolated: Isolated) -> None:
        try:
            outcome = isolated.run()
        except Exception as error:
            outcome = Outcome.of(error)  # no process can be started
        self._ended.put((taken, outcome))


class Isolated:
    """A stage in a process of its own, which is ended where it makes no progress within the job's limit."""

    def __init__(self, stage: Stage, warm: Warm) -> None:
        self._stage, self._warm, self._killed = stage, warm, False
        self._child: Child | None = None
        self._lock = threading.Lock()

    def run(self) -> Outcome:
        """Start the process and wait for its end."""
        with self._warm.kept(self._stage) as kept:
            return self._run(kept)

    def _run(self, kept: Kept) -> Outcome:
        stage, grace, limit = self._stage, 0.0, self._stage.job.stall_limit
        server = kept.server()
        with self._lock:
            if self._killed:
                return Outcome(lost=True)
            child = self._child = Child(
                _serve,
                stage,
                environment=self._warm.environment,
                server=server,
                heard=partial(self._hear, kept),
            )
        try:
            outcome: Outcome = child.receive(limit)
            grace = GRACE
        except DiedError as died:
            return replace(Outcome.of(UserError(f"the process {died}", stage.name, died.fix)), killed=died.killed)
        except TimeoutError:
            fix = "where it only is slow, give it more: --stall-limit SECONDS, or stall_limit in bench.toml"
            said = f"ended, as it made no progress within {limit} s, the limit"
            return Outcome.of(UserError(said, stage.name, fix))
        except Exception as error:
            return Outcome.of(error)  # the process cannot import what the stage needs
        finally:
            child.end(grace)
        return outcome

    def kill(self) -> None:
        """End the process with all that it has started; from any thread."""
        with self._lock:
            self._killed = True
            if self._child is not None:
                self._child.kill()

    def _hear(self, kept: Kept, what: _Imported | progress.Step | str) -> None:
        if isinstance(what, _Imported):
            kept.learn(what.modules)
        else:
            progress.hand_on(what, self._stage.name)


class _Imported(NamedTuple):
    """What a stage has imported."""

    modules: tuple[str, ...]


def _serve(inbox: Inbox, stage: Stage) -> Iterator[Outcome]:
    before = {*sys.modules}
    with progress.heard_by(say):
        outcome = attempt(stage)
    say(_Imported(tuple(name for name in [*sys.modules] if name not in before)))
    yield outcome
