"""Code that may hang or die, in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from bench.contracts import UserError
from bench.runtime.child import END, Child, Inbox
from bench.runtime.failures import DiedError, EscapeError, Stopped, summarised

T = TypeVar("T")


class LostError(Exception):
    """The process gave no result; the message says why, e.g. ``"was killed by SIGSEGV"``."""


def isolated(
    function: Callable[..., Iterable[T]],
    *arguments: Any,
    seconds: float,
    quiet: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Generator[T, None, None]:
    """Yield what ``function(*arguments)`` yields, computed by a fresh process.

    The process is killed when the iteration ends, however it ends. What it prints goes to stderr.

    Args:
        function: of a module; its arguments and what it yields are picklable.
        seconds: the longest time to wait for the next item, the start of the process aside.
        quiet: drop what the process prints.
        environment: variables over those of this process.

    Raises:
        UserError: the function raised it.
        LostError: it raised something else, the process died, or the time is over.
    """
    child = Child(_contained, function, arguments, quiet, environment=environment)
    try:
        while (item := child.receive(seconds)) is not END:
            yield item
    except (DiedError, EscapeError, TimeoutError) as lost:
        raise LostError(str(lost)) from None
    finally:
        child.end(grace=0)


def _contained(inbox: Inbox, function: Callable[..., Iterable[T]], arguments: Any, quiet: bool) -> Iterator[T]:
    """What the function raises as text: to unpickle an error of a plug-in's class, the parent would import it."""
    if quiet:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.dup2(2, 1)
    try:
        yield from function(*arguments)
    except (UserError, GeneratorExit, Stopped):
        raise
    except BaseException as error:
        raise LostError(summarised(error)) from None
