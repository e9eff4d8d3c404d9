"""Where cells run: one function behind one interface.

An engine is a function ``run(stages, report)`` that runs each stage once those it needs are done, and hands every
`Outcome` to ``report``; where that returns False the engine starts nothing more.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from bench.contracts import UserError
from bench.execution.stages import Stage


@dataclass(frozen=True)
class Outcome:
    """How a stage ended.

    Attributes:
        error: one line; "" where it went well.
        trace: the traceback, for a defect; "" for what the user can fix.
    """

    error: str = ""
    trace: str = ""
    user_error: UserError | None = None


Report = Callable[[Stage, Outcome], bool]


class Engine(Protocol):
    """What ``--engine`` names."""

    def __call__(self, stages: Iterable[Stage], report: Report) -> None: ...


def attempt(stage: Stage) -> Outcome:
    """Run a stage here and now, and catch whatever it raises."""
    try:
        stage.function(stage.job)
    except UserError as error:
        return Outcome(str(error), user_error=error)
    except Exception as error:
        # A plug-in may raise anything; the cell then fails, and the others go on.
        return Outcome(f"{type(error).__name__}: {error}", trace=traceback.format_exc())
    return Outcome()


def load(name: str) -> Engine:
    """The engine of that name. Raises UserError where its package is missing."""
    if name == "ray":
        try:
            from bench.execution.engines import ray
        except ImportError:
            raise UserError("ray is not installed", "--engine ray", "pip install refinebench[ray]") from None
        return ray.run
    from bench.execution.engines import local

    return local.run
