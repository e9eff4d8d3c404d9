"""The Ray cluster of a run: reached in bounded time, or started here; and what its nodes have.

Ray tries for minutes to reach what is not there, and may end the process that tries. So a process of its own tries
first, which can be ended.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import ray

from bench.contracts import UserError
from bench.execution.engines import Placement
from bench.runtime.isolation import LostError, isolated

REACHED = 9.0
"""Seconds in which Ray must be imported and something listen at the address; and again, in which the cluster must have
taken this process in. Each takes 1 or 2."""

HEARD = 4.0
"""Seconds of the first in which something must listen."""

OBJECTS = 100 * 2**20
"""Bytes of shared memory of a cluster that is started here: what goes to and fro is small."""

LOOK = 5.0
"""Seconds between two looks at the nodes."""

MIB = 2**20

_ONCE = {"RAY_gcs_server_port_wait_time_s": "1"}
"""Ray's environment: one attempt to connect, as the next ones would be the same."""

_QUIET: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}


@dataclass(frozen=True)
class Node:
    """What a node has in all, whether that is free or not.

    Attributes:
        memory: MiB that Ray gives to tasks.
    """

    name: str
    cpus: float
    gpus: float
    memory: float


class Cluster:
    """The cluster that this process is connected to.

    Args:
        look: asks for the nodes that live.
    """

    def __init__(self, look: Callable[[], list[Node]] | None = None) -> None:
        self._look = look or _nodes
        self._nodes, self._looked = self._look(), time.monotonic()

    @property
    def nodes(self) -> list[Node]:
        """Those that live, as of at most `LOOK` seconds ago."""
        if time.monotonic() - self._looked >= LOOK:
            self._nodes, self._looked = self._look(), time.monotonic()
        return self._nodes

    @property
    def cpus(self) -> float:
        """Of all nodes together."""
        return sum(node.cpus for node in self.nodes)

    @property
    def has_gpus(self) -> bool:
        return any(node.gpus >= 1 for node in self.nodes)

    @property
    def most_memory(self) -> float:
        """MiB, of the node that has most."""
        return max((node.memory for node in self.nodes), default=0.0)


def check(placement: Placement) -> None:
    """Whether this process could be part of the cluster that is asked for.

    Raises:
        UserError: that cannot be reached; or ``detach`` is asked of one that would end with this process.
    """
    if ray.is_initialized():
        _check_same(placement.address)
        return
    address, where = _asked(placement)
    if address != "local":
        reach(address, where)
    elif placement.detach:
        said = "a cluster that is started here would end with this command"
        raise UserError(said, "--detach", "start one with 'ray start --head', and name it with --address HOST:PORT")


@contextmanager
def connected(placement: Placement) -> Iterator[Cluster]:
    """Within the block this process is part of the cluster that is asked for; one that was started here ends with it.

    Where it is part of one already, that is meant. What does not pass `check` may take minutes here.
    """
    if ray.is_initialized():
        yield Cluster()
        return
    address, _ = _asked(placement)
    handler = signal.getsignal(signal.SIGTERM)
    started = {"object_store_memory": OBJECTS} if address == "local" else {}
    # Else Ray prints the log of each node that is lost to stdout, whatever log_to_driver says.
    ray._private.worker._worker_logs_enabled = False
    try:
        ray.init(address, **_QUIET, **started)
        if signal.getsignal(signal.SIGTERM) is not handler:
            signal.signal(signal.SIGTERM, handler)  # Ray puts one of its own in its place
        yield Cluster()
    finally:
        ray.shutdown()
        ray._private.worker._worker_logs_enabled = True


def reach(address: str, where: str) -> None:
    """Try whether a cluster takes this machine in.

    Args:
        address: ``"HOST:PORT"`` or ``"auto"``.
        where: how the user named it.

    Raises:
        UserError: it does not.
    """
    try:
        with closing(isolated(_reached, address, seconds=REACHED, quiet=True, environment=_ONCE)) as answers:
            said = next(answers) or next(answers)
    except LostError as lost:
        said = f"Ray gets no answer there ({lost}): it is another service, or a cluster that hangs"
    if said:
        raise UserError(said, where, _mended(said))


def _asked(placement: Placement) -> tuple[str, str]:
    """The address and how the user named it."""
    address, where = placement.address, f"--address {placement.address}"
    if not address:
        address = os.environ.get("RAY_ADDRESS", "") or "local"
        where = f"RAY_ADDRESS={address}"
    if "://" in address:
        what = "that is the address of Ray's client or of its jobs, which keep no run alive"
        fix = "name the cluster itself, HOST:PORT as 'ray start --head' says it, on one of its machines; or from "
        raise UserError(what, where, fix + "elsewhere: ray job submit -- bench run ...")
    host, colon, port = address.rpartition(":")
    if address not in ("local", "auto") and not (host and colon and port.isdigit() and 0 < int(port) < 2**16):
        raise UserError("that is not HOST:PORT", where, "write it as 'ray start --head' says it: 10.0.0.5:6379")
    return address, where


def _check_same(address: str) -> None:
    if address in ("", "auto"):
        return
    ours = ray.get_runtime_context().gcs_address
    if _resolved(address) != _resolved(ours):
        said = f"this process belongs to the cluster at {ours} already"
        raise UserError(said, f"--address {address}", "leave it out, or call ray.shutdown() first")


def _resolved(address: str) -> tuple[str, str]:
    host, _, port = address.rpartition(":")
    # Ray calls this machine by the address that others reach it at.
    local = host in ("localhost", "127.0.0.1", "::1")
    return (ray.util.get_node_ip_address() if local else host), port


def _reached(address: str) -> Iterator[str]:
    """In a process of its own, whether something listens, then whether it is a cluster: "", or why not, in a line."""
    host, _, port = address.rpartition(":")
    try:
        if host:
            socket.create_connection((host.strip("[]"), int(port)), timeout=HEARD).close()
    except OSError as error:
        yield f"nothing listens there: {error.strerror or error}"
    yield ""
    try:
        ray.init(address, **_QUIET)
    except Exception as error:
        yield _why(error)
    else:
        yield ""


_TOKEN, _OTHER = "the cluster wants another token", "the cluster has another Ray or Python"


def _why(error: BaseException) -> str:
    """What Ray's error means, which may stand in one behind it."""
    told = ""
    behind: BaseException | None = error
    while behind is not None:
        told += f"{type(behind).__name__}: {behind}\n"
        behind = behind.__cause__
    if "AuthenticationError" in told:
        return _TOKEN if "InvalidAuthToken" in told else "there is no token to show to the cluster"
    if "Version mismatch" in told:
        versions = re.findall(r"(Ray|Python): (\S+)", told)
        theirs, ours = (", ".join(" ".join(one) for one in part) for part in (versions[:2], versions[2:4]))
        return f"{_OTHER}: {theirs} there, {ours} here"
    lines = [line.strip() for line in told.splitlines() if line.strip()]
    return f"Ray says: {lines[-1]}"


def _mended(said: str) -> str:
    if "token" in said:
        return "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or ~/.ray/auth_token to the cluster's own"
    if said.startswith(_OTHER):
        return "install the same here and there"
    return "start one there with 'ray start --head', or leave the address out for one of this machine's own"


def _nodes() -> list[Node]:
    found = [(node["NodeManagerHostname"], node["Resources"]) for node in ray.nodes() if node["Alive"]]
    return [Node(name, has.get("CPU", 0.0), has.get("GPU", 0.0), has.get("memory", 0.0) / MIB) for name, has in found]
