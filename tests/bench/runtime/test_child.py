"""One process beside this one, afresh or forked: how its end is told, what it leaves, and how long it is waited for."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from bench.redaction import LONGEST, one_line
from bench.runtime.child import END, Child
from bench.runtime.failures import DiedError, EscapeError, summarised
from bench.runtime.fork_server import ForkServer
from tests.bench.crews import leaves, ticks


def _alive(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.fixture(scope="module", params=["afresh", "forked"])
def server(request: pytest.FixtureRequest) -> Iterator[ForkServer | None]:
    """What children are forked from; None for those that are started afresh."""
    if request.param == "afresh":
        yield None
    else:
        server = ForkServer(int, {})
        yield server
        server.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a warden")
@pytest.mark.parametrize(
    ("end", "error", "says"),
    [
        ("well", None, ""),
        ("exit", EscapeError, r"^the plug-in called sys\.exit\(3\)"),
        ("crash", DiedError, "^ended with exit code 7 and no result$"),
        ("kill", DiedError, "^was killed by SIGKILL .the out-of-memory killer, if you did not.$"),
        ("stop", TimeoutError, "no answer within 0.2 s"),
    ],
)
def test_its_end_is_told_and_nothing_outlives_it(
    server: ForkServer | None, tmp_path: Path, end: str, error: type[Exception] | None, says: str
) -> None:
    child = Child(leaves, tmp_path, end, server=server)
    try:
        left = child.receive(60)
        assert all(map(_alive, left))
        child.send("end")
        if error is None:
            assert child.receive(60) is END
        else:
            with pytest.raises(error, match=says):
                child.receive(0.2 if end == "stop" else 60)
    finally:
        begin = time.monotonic()
        child.end(0.0 if error else 5.0)
    assert time.monotonic() - begin < 20
    assert not any(map(_alive, left))


def test_who_says_something_is_waited_for() -> None:
    heard: list[int] = []
    child = Child(ticks, 4, 0.5, heard=heard.append)
    try:
        with pytest.raises(TimeoutError):
            child.receive(1.5)  # less than the four take
    finally:
        child.end(0.0)
    assert heard == [0, 1, 2, 3]


class _SilentError(Exception):
    def __str__(self) -> str:
        raise ValueError


def test_an_error_of_others_is_one_line() -> None:
    assert summarised(ValueError("\x1b[1;31mtorn\x1b[0m\n\n  in\tline\x00 3\u202e")) == (
        "ValueError: torn in line\\x00 3\\u202e"
    )
    assert summarised(KeyError()) == "KeyError"
    assert summarised(_SilentError()) == "_SilentError: (it has no message that can be shown)"
    long = one_line("a" * 10**7 + "\n" + "z" * 10**7)
    assert len(long) <= LONGEST and long[:3] + long[-3:] == "aaazzz" and " ... " in long
