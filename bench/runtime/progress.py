"""Progress bars on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")


def bar(*columns: str) -> Progress:
    """A rich progress display on stderr, disabled where stderr is no terminal.

    Args:
        columns: further text columns, e.g. ``"{task.fields[loss]}"``.
    """
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),  # a label has brackets: prn[size=96]
        BarColumn(),
        MofNCompleteColumn(),
        *(TextColumn(column) for column in columns),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield ``items`` under a progress bar."""
    with bar() as progress:
        yield from progress.track(items, total=total, description=description)


def note(message: str) -> None:
    """One line on stderr, terminal or not: what a log should hold."""
    print(f"bench: {message}", file=sys.stderr, flush=True)
