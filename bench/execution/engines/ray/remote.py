"""What runs on the cluster's nodes. It is sent there by value: a node may have another bench, or none, and says so.

So nothing of ours is imported here but within functions.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import ray

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

EVERY = 1.0
"""Seconds between two things that a task says of its progress, and that the driver hears."""

LINGER = 30.0
"""Seconds that a driver which has done all waits for the command that started it."""


def home() -> dict[str, Any]:
    """What a node must have of this machine: the version of ``bench``, where modules and relative paths lead to."""
    from bench.runtime.environment import DISTRIBUTION, version_of

    # Of an installation the node has its own.
    own = [path for path in sys.path if path and not path.startswith((sys.prefix, sys.base_prefix))]
    variables = {name: value for name, value in os.environ.items() if name.startswith("BENCH_")}
    return {"version": version_of(DISTRIBUTION), "paths": own, "folder": str(Path.cwd()), "variables": variables}


def settle(told: dict[str, Any]) -> str:
    """In a process of a node: be as the driver is; "", or in what way this node cannot be."""
    os.environ.update(told["variables"])
    new = [path for path in told["paths"] if path not in sys.path and Path(path).is_dir()]
    sys.path[:0] = new
    if Path(told["folder"]).is_dir():
        os.chdir(told["folder"])
    try:
        from bench.runtime.environment import DISTRIBUTION, version_of
    except ImportError as error:
        return f"{socket.gethostname()} cannot import bench: {error}"
    if version_of(DISTRIBUTION) != told["version"]:
        here = version_of(DISTRIBUTION) or "none"
        return f"{socket.gethostname()} has {DISTRIBUTION} {here}, this machine has {told['version']}"
    return ""


def run(told: dict[str, Any], work: bytes, *handles: Any) -> Any:
    """A task.

    Args:
        told: of the driver's `home`.
        work: a pickled function of ours and its arguments.
        handles: further arguments, which only Ray can send.

    Returns:
        What it returns; or in what way this node is unfit.
    """
    return settle(told) or _called(work, *handles)


class Ear:
    """An actor beside the driver: tasks tell it how far they are, and it tells the driver, once in a while."""

    def __init__(self) -> None:
        self._heard: dict[str, Any] = {}
        self._anything = asyncio.Event()

    async def hear(self, stage: str, step: Any) -> None:
        """How far a stage is; what was heard of it before is forgotten."""
        self._heard[stage] = step
        self._anything.set()

    async def told(self) -> dict[str, Any]:
        """By stage, what was heard since it was asked last; it waits until there is something."""
        await self._anything.wait()
        await asyncio.sleep(EVERY)  # of many tasks together
        found, self._heard = self._heard, {}
        self._anything.clear()
        return found


class Driver:
    """An actor that carries out a study and then ends itself; the cluster starts it again where its node is lost.

    Args:
        told: of the command's `home`.
        work: a pickled function of ours, which carries it out, and its arguments.
    """

    def __init__(self, told: dict[str, Any], work: bytes) -> None:
        self._unfit, self._asked = settle(told), threading.Event()
        if not self._unfit:
            # Within the constructor, which is all that is called again when the actor is started anew.
            threading.Thread(
                target=self._run, args=[ray.get_runtime_context().current_actor, work], daemon=True
            ).start()

    def begun(self) -> str:
        """ "", or in what way the node is unfit."""
        self._asked.set()
        return self._unfit

    def _run(self, own: Any, work: bytes) -> None:
        try:
            _called(work)
        finally:
            # Not before the command has its answer.
            self._asked.wait(LINGER)
            time.sleep(1.0)
            ray.kill(own, no_restart=True)


def _called(work: bytes, *more: Any) -> Any:
    function, *arguments = pickle.loads(work)
    return function(*arguments, *more)
