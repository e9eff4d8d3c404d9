"""Stages one after another, each in a fresh process on this machine.

A process of its own makes a stage's peak memory its own, and keeps a crash (a segmentation fault in a plug-in, the
kernel's out-of-memory killer) from taking the other cells with it.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable
from multiprocessing.connection import Connection

from bench.contracts import UserError
from bench.execution.engines import Outcome, Told, attempt
from bench.execution.stages import Stage
from bench.runtime.processes import follow_parent


def execute(stages: Iterable[Stage], told: Told) -> None:
    """See `bench.execution.engines`."""
    failed: dict[str, Outcome] = {}
    for stage in stages:
        broken = next((failed[name] for name in stage.needs if name in failed), None)
        outcome = broken or _isolate(stage)
        if outcome.error:
            failed[stage.name] = outcome
        if not told(stage, outcome):
            return


def _isolate(stage: Stage) -> Outcome:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(stage, sender))
    process.start()
    sender.close()
    try:
        outcome: Outcome = receiver.recv()
    except EOFError:
        process.join()
        died = UserError(
            f"the process died with exit code {process.exitcode}",
            stage.name,
            "free memory or lower the size (-9 is the out-of-memory killer), then run the command again: it resumes",
        )
        outcome = Outcome(str(died), user_error=died)
    except BaseException:
        process.kill()
        raise
    process.join()
    return outcome


def _child(stage: Stage, sender: Connection) -> None:
    follow_parent()
    sender.send(attempt(stage))
    sender.close()
