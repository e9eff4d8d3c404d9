"""What went wrong, in words: an error of others, and how a process ended."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys

from bench.contracts import UserError
from bench.redaction import one_line

UNHEARD = 113
"""Exit code of a process that could not send its answer, though the other end of the pipe is there."""


DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE})
"""What a disk says that is full, protected, broken or gone: the user's to mend, whoever was writing."""

_OF_RUST = re.compile(r"\(os error (\d+)\)")
"""How libraries in Rust, safetensors among them, end the text of what the operating system has refused."""


class Stopped(SystemExit):
    """This process was told to end; nothing has failed."""


class SignalledError(KeyboardInterrupt):
    """This process was told to end by a signal other than Ctrl-C's, and puts in order what it began.

    Args:
        number: the signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def signal_of(stop: KeyboardInterrupt) -> int:
    """The number of the signal behind it."""
    return stop.number if isinstance(stop, SignalledError) else int(signal.SIGINT)


class EscapeError(Exception):
    """What a plug-in did that would have ended more than its own work; the message says it."""

    @classmethod
    def of(cls, error: BaseException) -> EscapeError:
        """For what is no Exception, or would end a loop without a word (StopIteration)."""
        if isinstance(error, SystemExit):
            return cls(f"the plug-in called sys.exit({'' if error.code is None else repr(error.code)})")
        return cls(f"the plug-in raised {_named(error)}")


class DiedError(Exception):
    """A process ended without an answer.

    Args:
        exitcode: as `multiprocessing.Process.exitcode`; None where it runs on, but has let go of its pipe.

    Attributes:
        fix: what helps, for a `bench.contracts.UserError`.
        killed: by SIGKILL, which is the out-of-memory killer's.
    """

    def __init__(self, exitcode: int | None) -> None:
        self.killed = exitcode is not None and exitcode < 0 and signal_name(-exitcode) == "SIGKILL"
        self.fix = "find the plug-in with 'bench check NAME', repair it or leave it out, and run the same command again"
        if exitcode is None or exitcode == UNHEARD:
            said = "lost its connection to bench: a plug-in must not close files that it has not opened"
        elif exitcode >= 0:
            said = f"ended with exit code {exitcode} and no result"
        else:
            said = f"was killed by {signal_name(-exitcode)}"
            if said.endswith("SIGKILL"):
                said += " (the out-of-memory killer, if you did not)"
                self.fix = "free memory, lower the size or --workers, and run the same command again: it resumes"
        super().__init__(said)


def summarised(error: BaseException) -> str:
    """An error on one line: ``"RuntimeError: the message"``; of a UserError and an EscapeError the message alone."""
    if isinstance(error, UserError | EscapeError):
        return one_line(_message(error))
    return one_line(_named(error))


def of_disk(error: BaseException) -> OSError | None:
    """What a disk has refused, where that is the error or lies behind it; None where it is another."""
    chain: list[BaseException] = []
    behind: BaseException | None = error
    while behind is not None and behind not in chain:
        chain.append(behind)
        behind = behind.__cause__ or behind.__context__
    for one in chain:
        if isinstance(one, OSError) and one.errno in DISK:
            return one
        told = _OF_RUST.search(_message(one))
        if told and int(told[1]) in DISK:
            return OSError(int(told[1]), os.strerror(int(told[1])))
    return None


def of_memory(error: BaseException) -> str:
    """What a GPU's or the machine's memory has refused, in one line; "" where the error is another."""
    refused = [MemoryError]
    if "torch" in sys.modules:
        refused.append(sys.modules["torch"].OutOfMemoryError)
    return summarised(error) if isinstance(error, tuple(refused)) else ""


def _named(error: BaseException) -> str:
    message = _message(error).strip()
    named = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return " ".join([named, *(f"({note})" for note in getattr(error, "__notes__", []))])


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(it has no message that can be shown)"


def signal_name(number: int) -> str:
    """``"SIGTERM"``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
