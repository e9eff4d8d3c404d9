"""Where cells run: one function behind one interface.

An engine is a module here whose ``execute(stages, told)`` runs each stage once those it needs are done, and hands every
`Outcome` to ``told``; where that returns False the engine starts nothing more. `bench.config.EngineName` names them.
"""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from bench.config import EngineName
from bench.contracts import UserError
from bench.execution.stages import Stage
from bench.runtime.failures import EscapeError, of_disk, summarised
from bench.store import LostError
from bench.store.objects import RESUME


@dataclass(frozen=True)
class Outcome:
    """How a stage ended.

    Attributes:
        error: one line; "" where it went well.
        trace: the traceback, for a defect; "" for what the user can fix.
        raised: what the stage raised; of a defect None where that was in another process.
        found: the work was in the store already, or another process has done it meanwhile.
        lost: another process has taken the work over; how it ends is not known yet.
    """

    error: str = ""
    trace: str = ""
    raised: BaseException | None = None
    found: bool = False
    lost: bool = False

    @classmethod
    def of(cls, error: BaseException) -> Outcome:
        """That of a stage that raised this."""
        if isinstance(error, UserError):
            return cls(summarised(error), raised=error)
        trace = "".join(traceback.format_exception(error))
        named = error if isinstance(error, Exception) else EscapeError.of(error)
        return cls(summarised(named), trace=trace, raised=error)

    def __reduce__(self) -> tuple[type[Outcome], tuple[Any, ...]]:
        # A plug-in's own exception may not be picklable, nor its class be known elsewhere.
        raised = self.raised
        plain = UserError(raised.what, raised.where, raised.fix) if isinstance(raised, UserError) else None
        return Outcome, (self.error, self.trace, plain, self.found, self.lost)


Told = Callable[[Stage, Outcome], bool]
"""Is told how a stage ended; whether to go on."""


class Engine(Protocol):
    """What ``--engine`` names."""

    def __call__(self, stages: Iterable[Stage], told: Told) -> None: ...


def attempt(stage: Stage) -> Outcome:
    """Run a stage here and now, and catch whatever it raises, but for Ctrl-C."""
    try:
        stage.function(stage.job)
    except LostError:
        return Outcome(lost=True)
    except BaseException as error:
        # A plug-in may raise anything; the cell then fails, and the others go on.
        if isinstance(error, KeyboardInterrupt) and not stage.job.own_process:
            raise  # in a process of its own Ctrl-C is left to the parent
        if _is_lost(stage):
            return Outcome(lost=True)  # who has taken it over has the folder of work, too
        return Outcome.of(_refused(error, stage) or error)
    return Outcome()


def _is_lost(stage: Stage) -> bool:
    lease = stage.job.lease
    try:
        return lease is not None and not stage.job.store.leases.holds(lease)
    except UserError:
        return False


def _refused(error: BaseException, stage: Stage) -> UserError | None:
    """For what a disk has refused, to whomever: it is no defect."""
    if isinstance(error, UserError):
        return None
    store = stage.job.store
    found = of_disk(error)
    if found is None:
        if not store.is_full():
            return None
        found = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # torch.save, for one, says nothing of it
    place = found.filename if isinstance(found.filename, str) else f"{stage.name}, for {store.address}"
    return UserError(f"the disk says: {found.strerror}", place, RESUME)


def load(name: EngineName) -> Engine:
    """The engine of that name. Raises UserError where its package is missing."""
    try:
        engine: Engine = import_module(f"{__name__}.{name}").execute
    except ImportError as error:
        raise UserError(
            f"{error.name} is not installed", f"--engine {name}", f"pip install refinebench[{name}]"
        ) from None
    return engine
