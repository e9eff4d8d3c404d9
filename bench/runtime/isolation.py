"""Code that may hang or die, in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

from bench.contracts import UserError
from bench.runtime.processes import follow_parent

T = TypeVar("T")
_ITEM, _ERROR, _END = "item", "error", "end"


class LostError(Exception):
    """The process gave no result; the message says why, e.g. ``"died with exit code -11"``."""


def isolated(function: Callable[..., Iterable[T]], *arguments: Any, seconds: float, quiet: bool = False) -> Iterator[T]:
    """Yield what ``function(*arguments)`` yields, computed by a fresh process.

    The process is killed when the iteration ends, however it ends. What it prints goes to stderr.

    Args:
        function: of a module; its arguments and what it yields are picklable.
        seconds: the longest time to wait for the next item, the start of the process aside.
        quiet: drop what the process prints.

    Raises:
        UserError: the function raised it.
        LostError: it raised something else, the process died, or the time is over.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    # Pickled here and not by the process's start: the child unpickles it, and so imports, when it is ready to answer.
    process = context.Process(target=_child, args=(sender, pickle.dumps((function, arguments)), quiet))
    process.start()
    sender.close()
    try:
        _receive(receiver, process, None)
        while True:
            kind, value = _receive(receiver, process, seconds)
            if kind == _END:
                return
            if kind == _ERROR:
                raise value if isinstance(value, UserError) else LostError(value)
            yield value
    finally:
        process.kill()
        process.join()
        receiver.close()


def _receive(receiver: Connection, process: SpawnProcess, seconds: float | None) -> tuple[str, Any]:
    try:
        if not receiver.poll(seconds):
            raise LostError(f"no answer within {seconds:g} s")
        message: tuple[str, Any] = receiver.recv()
    except EOFError:
        process.join()
        raise LostError(f"died with exit code {process.exitcode}") from None
    return message


def _child(sender: Connection, work: bytes, quiet: bool) -> None:
    follow_parent()
    if quiet:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    os.dup2(2, 1)
    sender.send((_ITEM, "started"))
    try:
        function, arguments = pickle.loads(work)
        for item in function(*arguments):
            sender.send((_ITEM, item))
        sender.send((_END, None))
    except UserError as error:
        sender.send((_ERROR, error))
    except (Exception, SystemExit) as error:
        sender.send((_ERROR, one_line(error)))


def one_line(error: BaseException) -> str:
    """``"RuntimeError: first line of the message"``."""
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
