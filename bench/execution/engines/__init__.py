"""Where cells run: one function behind one interface.

An engine is a module here whose ``execute(stages, told, placement)`` runs each stage once those it needs are done, and
hands every `Outcome` to ``told``; where that returns False the engine starts nothing more. Its ``check(placement,
store)``, where it has one, says what is missing before anything is written, and its
``script(stages, placement)`` what it would hand to a cluster. `bench.config.EngineName` names them.
"""

from __future__ import annotations

import errno
import os
import socket
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from bench.config import EngineName, Grid
from bench.contracts import UserError
from bench.execution.stages import Stage
from bench.runtime.environment import pick_device
from bench.runtime.failures import EscapeError, of_disk, of_memory, summarised
from bench.store import LostError, Store
from bench.store.objects import RESUME

CLUSTERS: frozenset[EngineName] = frozenset({"ray", "slurm"})
"""Those whose stages run on other machines, with devices of their own; the others' run on this one."""


@dataclass(frozen=True)
class Placement:
    """Where stages run and how many side by side, as the user said it; each engine takes what concerns it.

    Attributes:
        jobs: stages side by side; None leaves it to the engine.
        address: of a Ray cluster; "" for the one that ``RAY_ADDRESS`` names, or one of this machine's own.
        slurm: parameters of a job as `submitit` calls them.
        detach: return as soon as the work is handed over; the cluster goes on with it.
        folder: of the run, on this machine: its log, and what an engine keeps; need not exist.
    """

    jobs: int | None = None
    address: str = ""
    slurm: dict[str, str] = field(default_factory=dict)
    detach: bool = False
    folder: Path = Path()

    @classmethod
    def of(cls, grid: Grid, folder: Path, *, detach: bool) -> Placement:
        """What the options say. Raises UserError where one of them is not the engine's."""
        if grid.address is not None and grid.engine != "ray":
            raise UserError("only a Ray cluster has an address", "--address", "add --engine ray, or leave it out")
        if grid.slurm and grid.engine != "slurm":
            raise UserError("these are parameters of a SLURM job", "--slurm", "add --engine slurm, or leave them out")
        if detach and grid.engine not in CLUSTERS:
            fix = "start it in tmux or with nohup: what is done is kept, and the same command goes on"
            raise UserError(f"with --engine {grid.engine} the run is this process itself", "--detach", fix)
        slurm: dict[str, str] = {}
        for text in grid.slurm or ():
            key, equals, value = text.partition("=")
            if not equals or not key.isidentifier():
                raise UserError(f"{text!r} is not KEY=VALUE", "--slurm", "write --slurm partition=gpu timeout_min=240")
            slurm[key] = value
        return cls(grid.jobs, grid.address or "", slurm, detach, folder)


@dataclass(frozen=True)
class Outcome:
    """How a stage ended.

    Attributes:
        error: one line; "" where it went well.
        trace: the traceback, for a defect; "" for what the user can fix.
        raised: what the stage raised; of a defect None where that was in another process.
        found: the work was in the store already, or another process has done it meanwhile.
        lost: another process has taken the work over; how it ends is not known yet.
        killed: its process was killed from outside, by the out-of-memory killer as a rule: nobody's mistake, and what
            an engine may try again.
        seconds: wall time of the stage's work; None where it did none.
        host: the machine that did it; "" where none did.
    """

    error: str = ""
    trace: str = ""
    raised: BaseException | None = None
    found: bool = False
    lost: bool = False
    killed: bool = False
    seconds: float | None = None
    host: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Outcome:
        """That of a stage that raised this."""
        if isinstance(error, UserError):
            return cls(summarised(error), raised=error)
        trace = "".join(traceback.format_exception(error))
        named = error if isinstance(error, Exception) else EscapeError.of(error)
        return cls(summarised(named), trace=trace, raised=error)

    def __reduce__(self) -> tuple[Callable[..., Outcome], tuple[Any, ...]]:
        # A plug-in's own exception may not be picklable, nor its class be known elsewhere.
        raised = self.raised
        plain = UserError(raised.what, raised.where, raised.fix) if isinstance(raised, UserError) else None
        told = (self.error, self.trace, plain, self.found, self.lost, self.killed, self.seconds, self.host)
        return Outcome, told


Told = Callable[[Stage, Outcome], bool]
"""Is told how a stage ended; whether to go on."""


class Engine(Protocol):
    """What ``--engine`` names."""

    def __call__(self, stages: Sequence[Stage], told: Told, placement: Placement, /) -> None: ...


class Carried(Protocol):
    """What an engine sends elsewhere to be carried out, of a `bench.execution.study.Study`; picklable."""

    def carry_out(self, engine: Engine, placement: Placement, /) -> None:
        """Let an engine run the stages. Raises whatever stops it."""
        ...

    def __call__(self, stage: Stage, outcome: Outcome, /) -> bool:
        """Enter into the store how a stage ended: a `Told`."""
        ...


def attempt(stage: Stage) -> Outcome:
    """Run a stage here and now, and catch whatever it raises, but for Ctrl-C."""
    begin = time.monotonic()
    outcome = _attempted(stage)
    return replace(outcome, seconds=time.monotonic() - begin, host=socket.gethostname())


def _attempted(stage: Stage) -> Outcome:
    job = stage.job
    try:
        # Of a cluster's machine it is not known before.
        stage.function(replace(job, device=pick_device("auto")) if job.device == "auto" else job)
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
    """For what a disk or the memory has refused, to whomever: it is no defect."""
    if isinstance(error, UserError):
        return None
    if memory := of_memory(error):
        return UserError(f"no memory is left, {memory}", stage.name, "take a smaller size or batch, or free the memory")
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
    engine: Engine = _module(name).execute
    return engine


def check(name: EngineName, placement: Placement, store: Store) -> None:
    """Whether an engine can do it, before anything is written. Raises UserError where it says that it cannot."""
    checks = getattr(_module(name), "check", None)
    if checks is not None:
        checks(placement, store)


def script(name: EngineName, stages: Sequence[Stage], placement: Placement) -> str:
    """What an engine hands to a cluster that takes scripts; "" of other engines, and of no stages.

    Raises:
        UserError: it cannot be made of what the user said.
    """
    module = _module(name)
    return str(module.script(stages, placement)) if stages and hasattr(module, "script") else ""


def _module(name: EngineName) -> ModuleType:
    try:
        return import_module(f"{__name__}.{name}")
    except ImportError as error:
        raise UserError(
            f"{error.name} is not installed", f"--engine {name}", f"pip install refinebench[{name}]"
        ) from None
