"""Checks that are run one after another, and the line that each of them becomes."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.contracts import UserError
from bench.runtime.failures import summarised

HARNESS = Path(__file__).parents[1]


class ContractError(Exception):
    """What a check found to be against the contract."""


class Remark(str):
    """What a check found that is allowed, and worth knowing."""

    __slots__ = ()


@dataclass(frozen=True)
class Check:
    """One thing to find out.

    Attributes:
        what: two to four words.
        find: returns a detail or a `Remark`; raises `ContractError`, or whatever the plug-in raises.
        vital: where it fails, the checks after it are pointless.
    """

    what: str
    find: Callable[[], str]
    vital: bool = False


@dataclass(frozen=True)
class Line:
    """A check's result; ``begun`` says that it has none yet."""

    status: Literal["begun", "ok", "note", "FAIL"]
    what: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.status:4}  {self.what:26}  {self.detail}".rstrip()


def results(checks: Iterable[Check]) -> Iterator[Line]:
    """Two lines a check, the first as it begins. Whatever a check raises is its result and ends nothing else."""
    for check in checks:
        yield Line("begun", check.what)
        line = _result(check)
        yield line
        if check.vital and line.status == "FAIL":
            return


def demand(lines: Iterable[Line], name: str) -> None:
    """Raises AssertionError with the lines that failed, if any did."""
    failed = [str(line) for line in lines if line.status == "FAIL"]
    if failed:
        raise AssertionError("\n".join([f"{name} does not keep the contract:", *failed]))


def _result(check: Check) -> Line:
    try:
        found = check.find()
    except (ContractError, UserError) as fault:
        return Line("FAIL", check.what, str(fault))
    except (Exception, SystemExit) as error:
        return Line("FAIL", check.what, f"raises {summarised(error)}{_place(error)}")
    return Line("note" if isinstance(found, Remark) else "ok", check.what, found)


def _place(error: BaseException) -> str:
    """Where the plug-in raised it, or called what did: in brackets, after a blank."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if "site-packages/numpy" not in frame.filename and not path.is_relative_to(HARNESS / "conformance"):
            return f" ({path.parent.name}/{path.name}, line {frame.lineno})"
    return ""
