"""Progress on a terminal, plain lines elsewhere.

A bar is drawn where it is made, unless someone listens: during a run one display stands for all of its stages, and the
bars within a stage, in whatever process that runs, only tell it how far they are.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
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
    """How far a bar is."""

    description: str
    done: float
    total: float | None


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


def listener() -> Listener | None:
    """Who listens now."""
    return _listener


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
    message = redacted(message)
    if _listener is None:
        print(f"bench: {message}", file=sys.stderr, flush=True)
    else:
        _listener(message)


class Forecast:
    """How long steps that come one after another will still take, by how long others of their kind took.

    Args:
        kinds: of each step, the most telling one first: ``("refine prn", "refine")``. One that no step of the same
            kind has ended before is taken for an average one.
    """

    def __init__(self, kinds: Sequence[Sequence[str]]) -> None:
        self._rest = list(kinds)
        self._took: dict[str, list[float]] = defaultdict(list)

    def ended(self, seconds: float | None) -> None:
        """The next step has ended after that time; None where it says nothing about the others."""
        kinds = self._rest.pop(0)
        if seconds is not None:
            for kind in {*kinds, ""}:
                self._took[kind].append(seconds)

    def left(self, elapsed: float, share: float) -> float | None:
        """Seconds until all have ended; None where nothing is known.

        Args:
            elapsed: seconds since the next step began.
            share: of it that is done, 0..1.
        """
        if not self._rest:
            return 0.0
        if share > 0:
            current: float | None = elapsed * (1 - share) / share
            whole: float | None = elapsed / share
        else:
            whole = self._mean(self._rest[0])
            current = None if whole is None else max(whole - elapsed, 0.0)
        others = [self._mean(kinds) for kinds in self._rest[1:]]
        if current is None:
            return None
        # Before any step has ended, the one that runs is all that the others can be judged by.
        return current + sum(whole or 0.0 if other is None else other for other in others)

    def _mean(self, kinds: Sequence[str]) -> float | None:
        took = next((self._took[kind] for kind in (*kinds, "") if kind in self._took), None)
        return sum(took) / len(took) if took else None


class Stages:
    """One display for all stages of a run: how many are done, the time left over all, and how far the one at work is.

    Nothing is drawn where stderr is no terminal.

    Args:
        kinds: of each stage, see `Forecast`.
        in_turn: they run one after another; else no time left is told.
    """

    def __init__(self, kinds: Sequence[Sequence[str]], *, in_turn: bool = True) -> None:
        self._forecast, self._in_turn = Forecast(kinds), in_turn
        self._began, self._share = time.monotonic(), 0.0
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
        self._current: TaskID | None = None

    def __enter__(self) -> Stages:
        self._bars.start()
        self._listening = nullcontext() if self._bars.disable else heard_by(self._hear)
        self._listening.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._listening.__exit__(*raised)
        self._bars.stop()

    def ended(self, *, well: bool) -> None:
        """The stage at work has ended."""
        now = time.monotonic()
        self._forecast.ended(now - self._began if well else None)
        self._began, self._share = now, 0.0
        if self._current is not None:
            self._bars.remove_task(self._current)
            self._current = None
        self._bars.advance(self._whole)

    def _hear(self, what: Step | str) -> None:
        if isinstance(what, str):
            # Lifted above the bars, and folded by nobody but the terminal.
            self._bars.console.print(Text(f"bench: {what}"), soft_wrap=True, highlight=False)
            return
        if self._current is None:
            self._current = self._bars.add_task(what.description, total=what.total)
        self._bars.update(self._current, description=what.description, completed=what.done, total=what.total)
        self._share = min(what.done / what.total, 1.0) if what.total else 0.0

    def _left(self) -> float | None:
        return self._forecast.left(time.monotonic() - self._began, self._share) if self._in_turn else None


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
