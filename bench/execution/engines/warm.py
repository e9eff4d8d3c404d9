"""Processes that have imported what stages need: each stage is then forked from one in some ms.

One for each set of plug-ins that a stage uses, and no more than those: the memory that a stage measures is the
refiner's, not that of a base whose maps it reads. They are forked themselves, from one that has what all stages need.
What plug-ins import only when they work is learned from the first stages.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module

from bench.execution.stages import Stage
from bench.plugins.entry_points import Entry
from bench.runtime import allocating
from bench.runtime.environment import software
from bench.runtime.fork_server import ForkServer

MOST = 8
"""Servers that are kept, the last used. One that has imported torch holds 0.5 GB, and takes 2 to 5 s to start."""

EACH = 0.003
"""Seconds that the import of a module takes, roughly."""

_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OPENCV_FOR_THREADS_NUM",
)


class Warm:
    """The servers of an engine; several threads may use it.

    Args:
        threads: native threads of a stage; None is what its libraries like.
        most: servers that are kept.
    """

    def __init__(self, threads: int | None = None, most: int = MOST) -> None:
        self._most = most
        self.environment = allocating.kept() | ({} if threads is None else dict.fromkeys(_THREADS, str(threads)))
        self._root = _Root(self.environment)
        self._servers: OrderedDict[frozenset[tuple[str, str]], Kept] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def kept(self, stage: Stage) -> Iterator[Kept]:
        """What a stage's process is to be forked from, within the block."""
        plugins = stage.plugins
        key = frozenset((entry.kind, entry.name) for entry in plugins)
        with self._lock:
            kept = self._servers.pop(key, None) or Kept(plugins, self._root)
            self._servers[key] = kept
            kept.users += 1
            idle = [other for other, one in self._servers.items() if not one.users]
            old = [self._servers.pop(other) for other in idle[: max(0, len(self._servers) - self._most)]]
        try:
            for one in old:
                one.close()
            yield kept
        finally:
            with self._lock:
                kept.users -= 1

    def close(self) -> None:
        """End all of them, and what is forked from them."""
        with self._lock:
            servers = [*self._servers.values()]
            self._servers.clear()
        for one in servers:
            one.close()
        self._root.close()

    def __enter__(self) -> Warm:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


class _Root:
    """The server that all others are forked from, started with the first of them."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._server: ForkServer | None = None
        self._lock = threading.Lock()

    def server(self, plugins: Sequence[Entry], modules: Sequence[str]) -> ForkServer:
        """One that has these imported."""
        with self._lock:
            if self._server is None:
                self._server = ForkServer(partial(_load, (), ()), self._environment)
        load, parent = partial(_load, plugins, modules), None if self._server.problem else self._server
        try:
            return ForkServer(load, self._environment, parent)
        except OSError:
            return ForkServer(load, self._environment)  # the root was killed

    def close(self) -> None:
        with self._lock:
            if self._server is not None:
                self._server.close()


class Kept:
    """A server for one set of plug-ins.

    Attributes:
        users: of its children.
    """

    def __init__(self, plugins: Sequence[Entry], root: _Root) -> None:
        self._plugins, self._root, self.users = plugins, root, 0
        self._servers: list[ForkServer] = []
        self._learned: dict[str, None] = {}
        self._seconds, self._wasted = 0.0, 0.0
        self._lock = threading.Lock()

    def server(self) -> ForkServer | None:
        """It, started when it is first wanted; None where a process has to be started afresh."""
        with self._lock:
            if not self._servers or (self._wasted > self._seconds and not self._servers[-1].problem):
                # From here on it pays that one imports what each child would. Those of the one before are at work yet.
                begin, self._wasted = time.monotonic(), 0.0
                started = self._root.server(self._plugins, tuple(self._learned))
                self._seconds = time.monotonic() - begin
                if self._servers and started.problem:
                    self._seconds = math.inf
                else:
                    self._servers.append(started)
            return None if self._servers[-1].problem else self._servers[-1]

    def learn(self, modules: Sequence[str]) -> None:
        """What a child has imported that its server had not."""
        with self._lock:
            self._learned |= dict.fromkeys(modules)
            self._wasted += len(modules) * EACH

    def close(self) -> None:
        """End it, and its children."""
        with self._lock:
            for server in self._servers:
                server.close()


def _load(plugins: Sequence[Entry], modules: Sequence[str]) -> None:
    software()
    for entry in plugins:
        _ = entry.factory
    for name in modules:
        with suppress(Exception):  # some are in sys.modules that nobody can import by their names
            import_module(name)
