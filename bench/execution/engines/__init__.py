"""Where cells run: one function behind one interface.

An engine is a module here whose ``execute(stages, told)`` runs each stage once those it needs are done, and hands every
`Outcome` to ``told``; where that returns False the engine starts nothing more. `bench.config.EngineName` names them.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

from bench.config import EngineName
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


Told = Callable[[Stage, Outcome], bool]
"""Is told how a stage ended; whether to go on."""


class Engine(Protocol):
    """What ``--engine`` names."""

    def __call__(self, stages: Iterable[Stage], told: Told) -> None: ...


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


def load(name: EngineName) -> Engine:
    """The engine of that name. Raises UserError where its package is missing."""
    try:
        engine: Engine = import_module(f"{__name__}.{name}").execute
    except ImportError as error:
        raise UserError(
            f"{error.name} is not installed", f"--engine {name}", f"pip install refinebench[{name}]"
        ) from None
    return engine
