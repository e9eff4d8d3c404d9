"""What a run did, as a file that programs read: ``log.jsonl`` in the run's folder.

One JSON object a line: a line for the run's begin and its end, for each stage's begin and end, and for each line that
it said. So it grows with the stages and not with the images. It is no part of what a store holds: nothing is computed
from it but the time that something will take.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.execution.engines import Outcome
from bench.execution.stages import BY_IMAGE, Stage
from bench.redaction import redacted
from bench.runtime.environment import DISTRIBUTION, git_commit, version_of
from bench.runtime.failures import signal_name, signal_of, summarised
from bench.runtime.process import is_gone, this_process
from bench.runtime.progress import Step, note
from bench.store import Store

NAME = "log.jsonl"

LONGEST = 20_000
"""Characters of a text in a line, a traceback say; it is cut in its middle."""

MOST_NOTES = 10_000
"""Lines that a run may say before the log keeps no more of them: a plug-in may warn of each image."""

READ = 20
"""Runs, the latest, whose logs are looked at."""

BEGUN, PLANNED, ENDED = "begun", "planned", "ended"
STAGE_BEGUN, STAGE_ENDED, NOTE = "stage begun", "stage ended", "note"

DONE, FAILED, FOUND, INTERRUPTED, DETACHED = "done", "failed", "found", "interrupted", "detached"
"""How a run, or a stage, ended."""

RUNNING, DIED = "running", "died"
"""Of a run whose log has no end: it may be at work, or its process is surely gone."""


class RunLog:
    """Writes the log of this run. What cannot be written costs one warning, and never the run.

    Args:
        folder: of the run; made.
        engine, device, jobs: of the run.
        options: as they were given.

    Attributes:
        path: of the file.
    """

    def __init__(self, folder: Path, **told: Any) -> None:
        self.path, self._notes = folder / NAME, 0
        self._at_work: dict[str, _AtWork] = {}
        self._given_up = False
        command = {"command": shlex.join(sys.argv), "version": version_of(DISTRIBUTION), "commit": git_commit()}
        self.write(BEGUN, **this_process(), **command, **told)

    def write(self, event: str, **told: Any) -> None:
        """Add a line."""
        if self._given_up:
            return
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **_safe(told)}
        content = json.dumps(line).encode() + b"\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # One write, so that a process that is killed leaves whole lines; and not held open, as a disk is not let go
            # of that has a file open.
            with self.path.open("ab", buffering=0) as stream:
                if stream.write(content) < len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._give_up(error)

    def hear(self, what: Step | str) -> None:
        """A `bench.runtime.progress.Listener`: notes, and of each stage the first step."""
        if isinstance(what, str):
            self._notes += 1
            if self._notes <= MOST_NOTES:
                self.write(NOTE, text=what)
            elif self._notes == MOST_NOTES + 1:
                self.write(NOTE, text=f"more than {MOST_NOTES} lines: the rest is not kept")
            return
        if not what.stage:
            return
        if what.stage not in self._at_work:
            self._at_work[what.stage] = _AtWork()
            self.write(STAGE_BEGUN, stage=what.stage)
        self._at_work[what.stage].hear(what)

    def ended(self, stage: Stage, outcome: Outcome) -> None:
        """A `bench.execution.study.Watcher`."""
        at_work = self._at_work.pop(stage.name, None)
        if outcome.found and at_work is None:
            return  # it was there when the run came to it
        how = FAILED if outcome.error else FOUND if outcome.found else DONE
        manifest = stage.job.cell.manifest
        names = {"does": stage.does, "dataset": manifest.dataset, "base": manifest.base, "refiner": manifest.refiner}
        told = {"stage": stage.name, "task": stage.task, "outcome": how, **names}
        measured = {
            "seconds": outcome.seconds,
            "host": outcome.host,
            **(at_work.told if at_work and stage.does in BY_IMAGE else {}),
        }
        wrong = {"error": outcome.error, "trace": outcome.trace, "killed": outcome.killed} if outcome.error else {}
        self.write(STAGE_ENDED, **told, **measured, **wrong)

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if isinstance(error, KeyboardInterrupt):
            self.write(ENDED, outcome=INTERRUPTED, signal=signal_name(signal_of(error)))
        elif error is not None:
            self.write(ENDED, outcome=FAILED, error=summarised(error))

    def _give_up(self, error: OSError) -> None:
        self._given_up = True  # first: the warning is heard here, too
        note(f"warning: no log of this run is kept, {error.strerror or error}: {self.path}")


@dataclass
class _AtWork:
    """What is heard of a stage.

    Attributes:
        images: or what else it counts.
        first: when the first of them was done.
    """

    images: float | None = None
    first: float | None = None

    def hear(self, step: Step) -> None:
        if step.total is not None:
            self.images = step.total
            if step.done == 1 and self.first is None:
                self.first = time.monotonic()

    @property
    def told(self) -> dict[str, Any]:
        """``images``, and ``each``: the seconds that one took, once the first was done; None where it is not known."""
        known = self.images and self.images > 1 and self.first is not None
        each = (time.monotonic() - self.first) / (self.images - 1) if known else None  # type: ignore[operator]
        return {"images": self.images, "each": each}


@dataclass(frozen=True)
class LoggedRun:
    """A run as its log tells it; of a log that is torn or cut, what can be read.

    Attributes:
        path: of the log.
        begun, planned: their lines; {} where there is none.
        ended: the line of its end; {} where it runs, or died.
        last: when the last line was written, as text.
    """

    path: Path
    begun: Mapping[str, Any]
    planned: Mapping[str, Any]
    ended: Mapping[str, Any]
    stages: tuple[Mapping[str, Any], ...]
    last: str

    @classmethod
    def read(cls, path: Path) -> LoggedRun | None:
        """None where it cannot be read at all."""
        first: dict[str, Mapping[str, Any]] = {}
        stages: list[Mapping[str, Any]] = []
        last = ""
        try:
            for line in _lines(path):
                last = str(line.get("time", ""))
                if line.get("event") == STAGE_ENDED:
                    stages.append(line)
                elif (event := line.get("event")) in (BEGUN, PLANNED, ENDED):
                    first[event] = line
        except OSError:
            return None
        if BEGUN not in first:
            return None
        return cls(path, first[BEGUN], first.get(PLANNED, {}), first.get(ENDED, {}), tuple(stages), last)

    @property
    def how(self) -> str:
        """``"done"``, ``"failed"``, ``"interrupted"``, ``"detached"``, ``"died"``; ``"running"`` as far as is known."""
        if self.ended:
            return str(self.ended.get("outcome"))
        return DIED if is_gone(self.begun) else RUNNING


def logged(store: Store) -> list[LoggedRun]:
    """The latest runs of a store that have logs, as far as this machine sees them; the latest first."""
    found = (LoggedRun.read(folder / NAME) for folder in store.run_folders()[:READ])
    return [run for run in found if run is not None]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            with suppress(ValueError):
                if isinstance(found := json.loads(line), dict):
                    yield found


def _safe(value: Any) -> Any:
    """Without secrets, whatever is JSON-able; long texts cut."""
    if isinstance(value, Mapping):
        return {str(key): _safe(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_safe(one) for one in value]
    if isinstance(value, str | Path):
        text = redacted(str(value))
        half = LONGEST // 2
        return text if len(text) <= LONGEST else f"{text[:half]}\n...\n{text[-half:]}"
    return value if value is None or isinstance(value, bool | int | float) else redacted(str(value))
