"""How stages have ended: a file of each worker, which the others and whoever watches them read.

The store tells what is finished. These files tell what has failed, so that nobody tries it again, and what it took; and
of what is finished they tell it at once, where to look into the store would be to read all that was made.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.contracts import UserError
from bench.execution.engines import Outcome
from bench.execution.job import Job
from bench.execution.stages import Stage
from bench.runtime.sealed import Log, sealed, unsealed
from bench.store.objects import answering


@dataclass(frozen=True)
class End:
    """How a stage has ended.

    Attributes:
        stage: its name.
        last: nothing more is to be started.
        heard: another worker's journal has told of it.
    """

    stage: str
    outcome: Outcome
    last: bool = False
    heard: bool = False

    @property
    def first_hand(self) -> bool:
        """Whoever tells it has done the work."""
        return not (self.heard or self.outcome.found)

    def told(self) -> dict[str, Any]:
        """As JSON has it."""
        raised = self.outcome.raised
        plain = [raised.what, raised.where, raised.fix] if isinstance(raised, UserError) else None
        outcome = asdict(replace(self.outcome, raised=None)) | {"raised": plain}
        return {"stage": self.stage, "outcome": outcome, "last": self.last, "heard": self.heard}

    @classmethod
    def of(cls, told: dict[str, Any]) -> End:
        """From what `told` gave."""
        raised = told["outcome"]["raised"]
        outcome = Outcome(**told["outcome"] | {"raised": UserError(*raised) if raised else None})
        return cls(told["stage"], outcome, told["last"], told["heard"])


class Journal:
    """The file of one worker; gone on with where the worker was stopped and starts again.

    Raises:
        UserError: it cannot be written; so does `add`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with Log(path):
            pass  # a torn line is taken out

    def add(self, end: End) -> None:
        """Write how a stage has ended."""
        # Closed each time: only then is it on a network file system for all to see.
        with answering(self._path), self._path.open("ab", buffering=0) as stream:
            stream.write(sealed(end.told()).encode())


class Journals:
    """The files of several workers, read as they grow."""

    def __init__(self) -> None:
        self._read: dict[Path, int] = {}

    def new(self, paths: Iterable[Path]) -> list[End]:
        """What was not there the last time. Raises UserError where one cannot be read."""
        found = []
        for path in paths:
            # Opened, for a look at its size alone may show what a network file system had some seconds ago.
            with answering(path), path.open("rb") as stream:
                stream.seek(self._read.get(path, 0))
                lines = stream.read().splitlines(keepends=True)
            for line in lines:
                try:
                    found.append(End.of(unsealed(line)))
                except ValueError:
                    break  # its other half is still to come
                self._read[path] = self._read.get(path, 0) + len(line)
        return found


class HeardError(UserError):
    """A stage has failed elsewhere, and is not tried again.

    Attributes:
        end: how.
    """

    def __init__(self, end: End) -> None:
        super().__init__(end.outcome.error, end.stage, "see what has failed there")
        self.end = end

    def __str__(self) -> str:
        return self.end.outcome.error


LOOK = 5.0
"""Seconds between two looks at the journals, but for who holds the lease on what is asked for: there may be a thousand
of them, and many thousand stages to come across."""


class Heard:
    """What the workers of a run have told.

    Args:
        beside: the journals of the workers that run now.
        before: of those that have ended; what was killed there may be tried again.
    """

    def __init__(self, beside: Sequence[Path], before: Sequence[Path] = ()) -> None:
        self._beside, self._before, self._journals = beside, before, Journals()
        self._failed: dict[str, End] = {}
        self._last: End | None = None
        self._told: set[str] = set()
        self._looked = -math.inf

    def has(self, stage: str) -> bool:
        """Whether one of them has told how it ended."""
        return stage in self._told

    def unless_failed(self, stage: Stage) -> Stage:
        """The stage, whose being done is refused with a HeardError where it has failed or nothing is to be started.

        Where it is told that it is done, that is not looked at again.
        """
        return replace(stage, done=_UnlessFailed(self, stage.name, stage.done))

    def has_done(self, stage: str, *, at_once: bool) -> bool:
        """Whether one of them has told that it is done.

        Args:
            at_once: what was told up to now counts, and not up to `LOOK` seconds ago.

        Raises:
            HeardError: it has failed, or nothing is to be started.
        """
        if at_once or time.monotonic() - self._looked >= LOOK:
            self._looked = time.monotonic()
            before = [end for end in self._journals.new(self._before) if not end.outcome.killed]
            for end in (*before, *self._journals.new(self._beside)):
                self._told.add(end.stage)
                if end.outcome.error:
                    self._failed.setdefault(end.stage, end)
                if end.last:
                    self._last = end
        if (refused := self._last or self._failed.get(stage)) is not None:
            raise HeardError(refused)
        return stage in self._told


@dataclass(frozen=True)
class _UnlessFailed:
    heard: Heard
    stage: str
    done: Callable[[Job], bool]

    def __call__(self, job: Job) -> bool:
        # Who has the lease begins it if it is not done: nobody can tell of it any more.
        return self.heard.has_done(self.stage, at_once=job.lease is not None) or self.done(job)

    def __reduce__(self) -> tuple[Any, ...]:
        return _as_it_is, (self.done,)  # the stage's own process need not hear of the others


def _as_it_is(done: Callable[[Job], bool]) -> Callable[[Job], bool]:
    return done
