"""One process for a kind: makes its inputs, gives each to its door and watches what happens."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.cli import main
from bench.contracts import UserError

SECONDS = 10
"""An input that takes longer hangs."""

MEMORY = 2 * 2**30
"""Bytes of resident memory that one input may add."""

ADDRESSES = 4 * MEMORY
"""Bytes that may be asked for: beyond it the machine of who runs this would suffer."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
_RUNS = ("os.system", "os.exec", "os.posix_spawn", "pty.spawn")


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes:
        inputs: how many the slow suite makes.
        make: writes one below the folder, which is empty and the current one; what it returns is the door's.
        door: True where it was read, False where it was refused; it raises anything else.
        prepare: done once before the clock starts: what is imported late.
    """

    inputs: int
    make: Callable[[random.Random, Path], Any]
    door: Callable[[Any], bool]
    prepare: Callable[[], Any] = lambda: None


@dataclass
class Tally:
    """What became of a kind's inputs."""

    read: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def inputs(self) -> int:
        return self.read + self.refused + len(self.failures)


class Hang(BaseException):
    """No Exception: the code under test catches those."""


class UnfitError(AssertionError):
    """The input was neither read nor refused as it should be."""


def asked(function: Callable[[], Any]) -> bool:
    """A door: whether a function reads, or refuses by an error of one line that can be printed."""
    try:
        function()
    except UserError as error:
        if not str(error).isprintable():
            raise UnfitError(f"an error of more than a line: {str(error)!r}") from None
        return False
    return True


def called(argv: list[str]) -> bool:
    """A door: ``bench`` with these arguments, which ends with 0, or with 2 and one line."""
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(argv)
    except SystemExit as stop:
        code = int(stop.code or 0)
    lines = [line for line in err.getvalue().split("\n") if line]
    errors = [line for line in lines if line.startswith("bench: error: ")]
    if code not in (0, 2) or any("Traceback" in line for line in lines):
        raise UnfitError(f"exit code {code}: {err.getvalue()[-2000:]}")
    # `data verify` and `check` print what they find.
    if len(errors) > 1 or (code == 2 and not errors and not out.getvalue()) or (errors and errors[0] != lines[-1]):
        raise UnfitError(f"not one line: {err.getvalue()[-2000:]!r}")
    return code == 0


def run(name: str, kind: Kind, first: int, count: int, tell: Callable[[int], None] = lambda seed: None) -> Tally:
    """Give ``count`` inputs to the door, made from the seeds that begin with ``first``.

    Args:
        tell: is told each seed before its input, for who is left if this process dies.
    """
    tally = Tally()
    kind.prepare()
    watch = _Watch()
    sys.addaudithook(watch)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + ADDRESSES, -1))
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as scratch:
        for seed in range(first, first + count):
            tell(seed)
            folder = Path(scratch) / str(seed)
            folder.mkdir()
            os.chdir(folder)
            try:
                made = kind.make(random.Random(f"{name} {seed}"), folder)
                with _limits(), watch.within(folder):
                    read = kind.door(made)
            except (Exception, Hang, SystemExit):
                tally.failures.append(f"python -m tests.fuzz {name} --seed {seed} --count 1\n{traceback.format_exc()}")
            else:
                tally.read, tally.refused = tally.read + read, tally.refused + (not read)
            os.chdir(scratch)
            shutil.rmtree(folder)
    return tally


@contextlib.contextmanager
def _limits() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Hang(f"longer than {SECONDS} s")

    before = psutil.Process().memory_info().rss
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    faulthandler.dump_traceback_later(3 * SECONDS, exit=True)  # where a library holds the interpreter
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
    status = Path("/proc/self/status").read_text()
    peak = 1024 * int(status.split("VmHWM:")[1].split()[0])
    if peak - before > MEMORY:
        raise UnfitError(f"{(peak - before) / 2**30:.1f} GiB of memory")


class _Watch:
    """Hears of every file that Python opens for writing, and of programs that it starts."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._wrong: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._folder is None:
            return
        if event in _RUNS or (event in _CHANGES and not all(map(self._inside, _paths(arguments)))):
            self._wrong.append(f"{event} {arguments}")
        elif event == "open" and arguments[2] & _WRITING and not self._inside(arguments[0]):
            self._wrong.append(f"open {arguments}")

    @contextlib.contextmanager
    def within(self, folder: Path) -> Iterator[None]:
        """In the block nothing may be written outside of the folder."""
        self._folder, self._wrong = folder.resolve(), []
        try:
            yield
        finally:
            self._folder = None
        if self._wrong:
            raise UnfitError(f"outside of the target: {self._wrong[:3]}")

    def _inside(self, path: object) -> bool:
        if not isinstance(path, (str, bytes, os.PathLike)):
            return True  # a file descriptor
        place = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - no link is followed: it may lead outside
        assert self._folder is not None
        return place == os.devnull or Path(os.path.realpath(place)).is_relative_to(self._folder)


def _paths(arguments: tuple[Any, ...]) -> list[object]:
    return [given for given in arguments if isinstance(given, (str, bytes, os.PathLike))]
