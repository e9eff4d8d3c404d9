"""Stages one after another, each in a fresh process on this machine.

A process of its own makes a stage's peak memory its own, and keeps a crash (a segmentation fault in a plug-in, the
kernel's out-of-memory killer) and a hang from taking the other cells with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bench.contracts import UserError
from bench.execution.engines import Outcome, Told, attempt
from bench.execution.engines.agenda import one_by_one
from bench.execution.stages import Stage
from bench.runtime import progress
from bench.runtime.child import GRACE, Child, Inbox, say
from bench.runtime.failures import DiedError


def execute(stages: Iterable[Stage], told: Told) -> None:
    """See `bench.execution.engines`."""
    one_by_one(stages, told, isolate)


def isolate(stage: Stage) -> Outcome:
    """Run a stage in a process of its own, and end it where it makes no progress within the job's limit."""
    child, grace, limit = Child(_serve, stage, heard=_hear), 0.0, stage.job.stall_limit
    try:
        outcome: Outcome = child.receive(limit)
        grace = GRACE
    except DiedError as died:
        return Outcome.of(UserError(f"the process {died}", stage.name, died.fix))
    except TimeoutError:
        fix = "where it only is slow, give it more: --stall-limit SECONDS, or stall_limit in bench.toml"
        said = f"ended, as it made no progress within {limit} s, the limit"
        return Outcome.of(UserError(said, stage.name, fix))
    except Exception as error:
        return Outcome.of(error)  # the process cannot import what the stage needs
    finally:
        child.end(grace)
    return outcome


def _hear(what: progress.Step | str) -> None:
    listener = progress.listener()
    if listener is not None:
        listener(what)
    elif isinstance(what, str):
        progress.note(what)


def _serve(inbox: Inbox, stage: Stage) -> Iterator[Outcome]:
    with progress.heard_by(say):
        outcome = attempt(stage)
    yield outcome
