"""A run that the cluster goes on with alone: its driver is an actor there, which outlives the command."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import ray
from ray import exceptions

from bench.contracts import UserError
from bench.execution.engines import Carried, Placement, Told
from bench.execution.engines.agenda import Agenda, side_by_side
from bench.execution.engines.ray.cluster import Cluster
from bench.execution.engines.ray.remote import Driver, home
from bench.execution.engines.ray.tasks import Tasks
from bench.execution.stages import Stage
from bench.runtime.failures import summarised
from bench.runtime.progress import Step, heard_by, note

NAMESPACE = "refinebench"
"""Of the drivers: ``ray.get_actor(NAME, namespace="refinebench")`` finds one."""

LOG = "driver.log"
"""In the run's folder: what the command would have printed."""

STARTED = 60.0
"""Seconds in which the actor must be there."""

RESTARTS = 5
"""Times that the driver is started again where its node is lost; the store has what was done before."""


def hand_over(study: Any, placement: Placement) -> None:
    """Start a driver on the cluster, and come back as soon as it is at work.

    Raises:
        UserError: it cannot be.
    """
    name, log = placement.folder.name, placement.folder / LOG
    work = pickle.dumps((carry_out, study, replace(placement, address="", detach=False)))
    kept: dict[str, Any] = {"lifetime": "detached", "max_restarts": RESTARTS, "num_cpus": 0}
    driver = ray.remote(Driver).options(name=name, namespace=NAMESPACE, **kept).remote(home(), work)
    try:
        unfit = ray.get(driver.begun.remote(), timeout=STARTED)
    except (exceptions.RayError, TimeoutError) as error:
        ray.kill(driver)
        raise UserError(
            f"the driver does not start: {summarised(error)}", "--detach", "look after the cluster"
        ) from None
    if unfit:
        ray.kill(driver)
        raise UserError(unfit, "--engine ray", "install the same version on all nodes of the cluster")
    note(f"handed over to the cluster: driver {name}, which writes to {log}")


def carry_out(study: Carried, placement: Placement) -> None:
    """In the actor: do all that is to be done; what there is to say goes into a file of the run's folder."""
    placement.folder.mkdir(parents=True, exist_ok=True)
    with (placement.folder / LOG).open("a", buffering=1) as log:

        def write(what: Step | str) -> None:
            if isinstance(what, str):
                log.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {what}\n")

        with heard_by(write):
            try:
                study.carry_out(_here, placement)
            except UserError as error:
                note(f"error: {error}")
            except Exception:
                note(f"error: {traceback.format_exc()}")
            else:
                note("all is done")


def _here(stages: Sequence[Stage], told: Told, placement: Placement) -> None:
    side_by_side(Agenda(stages, told), Tasks(Cluster(), placement.jobs))
