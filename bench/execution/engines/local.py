"""Stages one after another, each in a fresh process on this machine.

A process of its own makes a stage's peak memory its own, and keeps a crash (a segmentation fault in a plug-in, the
kernel's out-of-memory killer) from taking the other cells with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import nullcontext

from bench.contracts import UserError
from bench.execution.engines import Outcome, Told, attempt
from bench.execution.engines.agenda import one_by_one
from bench.execution.stages import Stage
from bench.runtime import progress
from bench.runtime.child import GRACE, Child, DiedError, Inbox, say


def execute(stages: Iterable[Stage], told: Told) -> None:
    """See `bench.execution.engines`."""
    one_by_one(stages, told, _isolate)


def _isolate(stage: Stage) -> Outcome:
    listener = progress.listener()
    child, grace = Child(_serve, stage, listener is not None, heard=listener), 0.0
    try:
        outcome: Outcome = child.receive()
        grace = GRACE
    except DiedError as died:
        fix = "free memory or lower the size (-9 is the out-of-memory killer), then run the command again: it resumes"
        return Outcome.of(UserError(f"the process {died}", stage.name, fix))
    except Exception as error:
        return Outcome.of(error)  # the process cannot import what the stage needs
    finally:
        child.end(grace)
    return outcome


def _serve(inbox: Inbox, stage: Stage, heard: bool) -> Iterator[Outcome]:
    with progress.heard_by(say) if heard else nullcontext():
        outcome = attempt(stage)
    yield outcome
