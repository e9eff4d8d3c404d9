"""Who is at work on what in a store, and how far: what the holders of leases write into them, and what that says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bench.execution.stages import Stage
from bench.plugins.variants import digest
from bench.runtime.process import described
from bench.runtime.progress import Step, overheard_by
from bench.runtime.wording import spoken
from bench.store import Manifest, Store, Task, base_task, cell_task, fit_task, kept_task, maps_task
from bench.store.leases import EXPIRES, Holding, Progress


@contextmanager
def keeping(store: Store, stages: Sequence[Stage]) -> Iterator[None]:
    """In the block the leases on stages are kept alive, and say how far each stage is, as far as that is heard here."""
    tasks = {stage.name: stage.task for stage in stages}

    def report(what: Step | str) -> None:
        if isinstance(what, Step) and what.stage in tasks:
            store.leases.report(tasks[what.stage], Progress(what.description, what.done, what.total))

    with store.leases.keeping(), overheard_by(report):
        yield


@dataclass(frozen=True)
class AtWork:
    """A lease on work.

    Attributes:
        task: that the lease is on.
        what: that in words: the cell, ``"fit prn to unet on ECSSD"``.
        seconds: since it was taken, by the clock of its holder; None where that is not known.
        silent: seconds since the last sign of life, by the two machines' clocks, which need not agree.
    """

    holding: Holding
    task: Task
    what: str
    seconds: float | None
    silent: float | None

    @property
    def cell(self) -> str:
        """The key of the cell, where it is the work of one or of a part of one; else ""."""
        return self.task.key if self.task.kind == "cell" else ""

    @property
    def state(self) -> str:
        """``at work``, ``gone`` (its process has ended) or ``silent`` (for so long that others may take it over)."""
        if self.holding.is_gone:
            return "gone"
        return "silent" if self.silent is None or self.silent > EXPIRES else "at work"

    @property
    def share(self) -> float:
        """Of it that is done, 0..1; 0 where nobody has said."""
        progress = self.holding.progress
        return min(progress.done / progress.total, 1.0) if progress and progress.total else 0.0

    def part_of(self, images: int | None) -> float:
        """The share that it is of all that the task of this name is about, 0..1.

        Args:
            images: of the whole.
        """
        return (self.task.part[1] - self.task.part[0]) / images if self.task.part and images else 1.0

    def __str__(self) -> str:
        parts = [self.what, described(self.holding.process)]
        if self.holding.since is not None:
            took = f" ({spoken(self.seconds)})" if self.seconds is not None else ""
            parts.append(f"since {self.holding.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC{took}")
        if (progress := self.holding.progress) and progress.total:
            parts.append(f"{progress.done:g} of {progress.total:g}, {self.share:.0%}")
        return "; ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        progress, since = self.holding.progress, self.holding.since
        return {
            "task": self.holding.task,
            "what": self.what,
            "cell": self.cell,
            "state": self.state,
            "host": self.holding.process.get("host"),
            "pid": self.holding.process.get("pid"),
            "since": since.isoformat() if since else None,
            "seconds": self.seconds,
            "silent_seconds": self.silent,
            "done": progress.done if progress else None,
            "total": progress.total if progress else None,
        }


def at_work(holdings: Sequence[Holding], manifests: Sequence[Manifest]) -> list[AtWork]:
    """What the leases of a store are on.

    Args:
        manifests: of its cells, which tell what the tasks are.
    """
    names = _named(holdings, manifests)
    now = datetime.now(UTC)
    found = []
    for one in holdings:
        seconds = (one.beat - one.since).total_seconds() if one.beat and one.since else None
        silent = (now - one.beat).total_seconds() if one.beat else None
        task = Task.of(one.task)
        if seconds is not None and silent is not None and not one.is_gone:
            seconds += min(max(silent, 0.0), EXPIRES)  # it goes on since it gave its last sign of life
        what = names.get(task.whole, task.whole)
        if task.part is not None:
            what = f"{what}, images {task.part[0] + 1} to {task.part[1]}"
        found.append(AtWork(one, task, what, seconds, silent))
    return found


def _named(holdings: Sequence[Holding], manifests: Sequence[Manifest]) -> dict[str, str]:
    """Whole task -> what it is, in words, as far as the cells tell."""
    tasks = {Task.of(one.task).whole for one in holdings}
    found: dict[str, str] = {}
    for cell in manifests if tasks else ():
        base = f"{cell.base} on {cell.dataset}"
        names = {cell_task(cell): cell.title, kept_task(cell): f"pictures of {cell.title}"}
        if fit := cell.identity.get("fit"):
            names[fit_task(fit)] = f"fit {cell.refiner} to {base}"
        if "base" in cell.identity:
            key = digest(cell.identity["base"])
            names[base_task(key)] = f"train {base}"
            names |= {task: f"maps of {base}" for task in tasks if task.startswith(maps_task(key, ""))}
        found |= {task: name for task, name in names.items() if task in tasks}
    return found
