"""Progress on a terminal, plain lines elsewhere.

A bar is drawn where it is made, unless someone listens: during a run one display stands for all of its stages, and the
bars within a stage, in whatever process that runs, only tell it how far they are.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Any, NamedTuple, TypeAlias, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from bench.redaction import redacted

T = TypeVar("T")

OFTEN = 0.1
"""Seconds between two things that a bar tells."""


class Step(NamedTuple):
    """How far a bar is, and the stage of a run that it is of."""

    description: str
    done: float
    total: float | None
    stage: str = ""


Listener: TypeAlias = Callable[[Step | str], None]
"""Hears the steps of bars, and the notes."""

_listener: Listener | None = None


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """In the block bars draw nothing and notes print nothing: the listener hears of both."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before


@contextmanager
def overheard_by(listener: Listener) -> Iterator[None]:
    """In the block the listener hears of steps and notes, before all goes where it would have gone without it.

    Without anybody outside who listens, steps that are told of are drawn by nobody, and notes are printed.
    """
    outer = _listener

    def hear(what: Step | str) -> None:
        listener(what)
        _tell(outer, what)

    with heard_by(hear):
        yield


def hand_on(what: Step | str, stage: str) -> None:
    """What was heard of a stage elsewhere, for whoever listens here."""
    _tell(_listener, _of_stage(what, stage))


@contextmanager
def in_stage(stage: str) -> Iterator[None]:
    """In the block a listener hears of steps as that stage's."""
    outer = _listener
    with nullcontext() if outer is None else heard_by(lambda what: _tell(outer, _of_stage(what, stage))):
        yield


def bar(*columns: str) -> Progress:
    """A rich progress display on stderr, disabled where stderr is no terminal, and where someone listens.

    Args:
        columns: further text columns, e.g. ``"{task.fields[loss]}"``.
    """
    console = Console(stderr=True)
    kind = Progress if _listener is None else _Told
    return kind(
        TextColumn("{task.description}", markup=False),  # a label has brackets: prn[size=96]
        BarColumn(),
        MofNCompleteColumn(),
        *(TextColumn(column) for column in columns),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=_listener is not None or not console.is_terminal,
        transient=True,
    )


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield ``items`` under a progress bar."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with bar() as progress:
        # rich's own track() tells nobody of the steps of a bar that is not drawn.
        task = progress.add_task(description, total=total)
        for item in items:
            yield item
            progress.advance(task)


def note(message: str) -> None:
    """One line on stderr, terminal or not: what a log should hold."""
    _tell(_listener, redacted(message))


def _tell(listener: Listener | None, what: Step | str) -> None:
    """Let it hear that; where nobody listens, a note is printed, and a step is nobody's concern."""
    if listener is not None:
        listener(what)
    elif isinstance(what, str):
        print(f"bench: {what}", file=sys.stderr, flush=True)


def _of_stage(what: Step | str, stage: str) -> Step | str:
    return what if isinstance(what, str) else what._replace(stage=stage)


class Forecast:
    """How long steps will still take, by how long others of their kind took.

    Args:
        kinds: of each step by its name, the most telling one first: ``("refine prn", "refine")``. One that no step of
            the same kind has ended before is taken for an average one.
        jobs: steps that run side by side.
    """

    def __init__(self, kinds: Mapping[str, Sequence[str]], jobs: int = 1) -> None:
        self._rest, self._jobs = dict(kinds), jobs
        self._counts = Counter(map(tuple, self._rest.values()))
        self._took: dict[str, list[float]] = defaultdict(list)

    def ended(self, name: str, seconds: float | None) -> None:
        """A step has ended after that time; None where it says nothing about the others."""
        kinds = tuple(self._rest.pop(name))
        self._counts[kinds] -= 1
        if seconds is not None:
            for kind in {*kinds, ""}:
                self._took[kind].append(seconds)

    def left(self, at_work: Mapping[str, tuple[float, float]]) -> float | None:
        """Seconds until all have ended; None where nothing is known.

        Args:
            at_work: of each step under way, the seconds since it began, and the share of it that is done, 0..1.
        """
        if not self._rest:
            return 0.0
        wholes = [elapsed / share for elapsed, share in at_work.values() if share > 0]
        # Before any step has ended, those that run are all that the others can be judged by.
        guess = sum(wholes) / len(wholes) if wholes else None
        rest, counts = 0.0, Counter(self._counts)
        for name, (elapsed, share) in at_work.items():
            counts[tuple(self._rest[name])] -= 1
            whole = elapsed / share if share > 0 else self._mean(self._rest[name], guess)
            if whole is None:
                return None
            rest += max(whole - elapsed, 0.0)
        for kinds, count in counts.items():
            if count:
                mean = self._mean(kinds, guess)
                if mean is None:
                    return None
                rest += count * mean
        return rest / self._jobs

    def _mean(self, kinds: Sequence[str], otherwise: float | None) -> float | None:
        took = next((self._took[kind] for kind in (*kinds, "") if kind in self._took), None)
        return sum(took) / len(took) if took else otherwise


class Stages:
    """One display for all stages of a run: how many are done, the time left over all, and how far those at work are.

    Nothing is drawn where stderr is no terminal.

    Args:
        kinds: of each stage by its name, see `Forecast`.
        jobs: how many run side by side; None where nobody knows, and no time left is told.
    """

    def __init__(self, kinds: Mapping[str, Sequence[str]], jobs: int | None = 1) -> None:
        self._forecast = Forecast(kinds, jobs) if jobs else None
        self._at_work: dict[str, tuple[float, float, TaskID]] = {}
        self._lock = threading.Lock()
        console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, max_width=32)),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            _Left(self._left),
            console=console,
            disable=not console.is_terminal or not kinds,
            transient=True,
        )
        self._whole = self._bars.add_task("stages of the run", total=len(kinds))

    def __enter__(self) -> Stages:
        self._bars.start()
        self._listening = nullcontext() if self._bars.disable else heard_by(self._hear)
        self._listening.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._listening.__exit__(*raised)
        self._bars.stop()

    def ended(self, stage: str, seconds: float | None) -> None:
        """A stage has ended after that time; None where it says nothing about the others."""
        with self._lock:
            if self._forecast is not None:
                self._forecast.ended(stage, seconds)
            *_, bar_of_it = self._at_work.pop(stage, (0.0, 0.0, None))
        if bar_of_it is not None:
            self._bars.remove_task(bar_of_it)
        self._bars.advance(self._whole)

    def _hear(self, what: Step | str) -> None:
        if isinstance(what, str):
            # Lifted above the bars, and folded by nobody but the terminal.
            self._bars.console.print(Text(f"bench: {what}"), soft_wrap=True, highlight=False)
            return
        with self._lock:
            began, _, drawn = self._at_work.get(what.stage) or (time.monotonic(), 0.0, None)
        if drawn is None:
            # Not under the lock: a bar that is added is drawn at once, and the time left beside it takes the lock.
            drawn = self._bars.add_task(what.description, total=what.total)
        share = min(what.done / what.total, 1.0) if what.total else 0.0
        with self._lock:
            self._at_work[what.stage] = began, share, drawn
        self._bars.update(drawn, description=what.description, completed=what.done, total=what.total)

    def _left(self) -> float | None:
        now = time.monotonic()
        with self._lock:
            at_work = {name: (now - began, share) for name, (began, share, _) in self._at_work.items()}
            return self._forecast.left(at_work) if self._forecast is not None else None


class _Told(Progress):
    """Tells the listener what it would draw, not oftener than `OFTEN`."""

    _last = 0.0

    def update(self, task_id: TaskID, **changes: Any) -> None:
        super().update(task_id, **changes)
        self._tell(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        self._tell(task_id)

    def _tell(self, task_id: TaskID) -> None:
        now = time.monotonic()
        if _listener is not None and now - self._last >= OFTEN:
            self._last = now
            task = self.tasks[self.task_ids.index(task_id)]
            _listener(Step(task.description, task.completed, task.total))


class _Left(ProgressColumn):
    """The time left over all stages, beside the first bar alone."""

    def __init__(self, left: Callable[[], float | None]) -> None:
        super().__init__()
        self._seconds_left = left

    def render(self, task: Task) -> Text:
        if task.id:
            return Text()
        seconds = self._seconds_left()
        shown = "-:--:--" if seconds is None else str(timedelta(seconds=round(seconds)))
        return Text(f"{shown} left", style="progress.remaining")
