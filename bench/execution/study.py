"""The cells of a run, carried out: what each stage's end means for the store and for whoever watches.

A `Study` can be sent to another machine, whose process then carries out a part of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from bench.config import OnError
from bench.contracts import UserError
from bench.execution import pictures, stages
from bench.execution.engines import Engine, Outcome, Placement
from bench.execution.job import Job
from bench.execution.stages import Stage
from bench.execution.underway import keeping
from bench.runtime.progress import note
from bench.store import Manifest, Store


class CellError(Exception):
    """A cell failed through a defect, not through anything the user can fix. Carries the stage's traceback."""


Watcher = Callable[[Stage, Outcome], None]
"""Is told how each stage of a study ended."""


@dataclass
class Study:
    """Cells that are to be computed, and what has become of them.

    Attributes:
        jobs: the cells that the store lacks and that can be computed, in order.
        pictured: those whose pictures are to be made.
        on_error: see `bench.config.Grid`.
        shared: keys of cells that other processes have computed meanwhile.
        failures: key -> one line (`bench.redaction.one_line`), for the cells that failed.
        watchers: stay on this machine.
    """

    store: Store
    jobs: Sequence[Job]
    pictured: Sequence[Job]
    on_error: OnError
    shared: set[str] = field(default_factory=set)
    failures: dict[str, str] = field(default_factory=dict)
    watchers: list[Watcher] = field(default_factory=list)
    _fatal: list[Outcome] = field(default_factory=list)
    _ended: set[str] = field(default_factory=set)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "stages"} | {"watchers": []}

    @cached_property
    def stages(self) -> list[Stage]:
        """All of its stages, each after those it needs."""
        pictured = [job for job in self.pictured if job.cell.manifest.key not in self.failures]
        return list(stages.stages(self.jobs, pictured))

    def carry_out(self, engine: Engine, placement: Placement) -> None:
        """Let an engine do it.

        Raises:
            UserError: with ``on_error="fail"``, what the user can fix; or the engine's own.
            CellError: with ``on_error="fail"``, a defect.
        """
        with keeping(self.store, self.stages):
            engine(self.stages, self, placement)
        self.store.tidy()
        if self._fatal:
            raised = self._fatal[0].raised
            if isinstance(raised, UserError):
                raise raised
            raise CellError(self._fatal[0].trace) from raised

    def __call__(self, stage: Stage, outcome: Outcome) -> bool:
        """Take in how a stage ended, and enter it into the store: a `bench.execution.engines.Told`."""
        for watcher in self.watchers:
            watcher(stage, outcome)
        if outcome.error:
            self._failed(stage, outcome)
        elif stage.cell is not None:
            self._ended.add(stage.cell.key)
            if outcome.found:
                self.shared.add(stage.cell.key)
                self.store.strike(stage.cell)
            else:
                note(f"done: {stage.name}")
        return not self._fatal

    def record_failure(self, cell: Manifest, error: str, *, said: bool) -> None:
        """Record it in the store.

        Args:
            said: now, as the run goes on; the error that stops a run is said at its end.
        """
        if said:
            note(f"failed: {cell.dataset} > {cell.base} > {cell.refiner}: {error}")
        self.failures[cell.key] = error
        written = datetime.now(UTC).isoformat(timespec="seconds")
        self.store.enter(cell.model_copy(update={"status": "failed", "error": error, "written": written}))

    def _failed(self, stage: Stage, outcome: Outcome) -> None:
        if self.on_error == "fail":
            self._fatal.append(outcome)
        if stage.cell is not None:
            self.record_failure(stage.cell, outcome.error, said=not self._fatal)
        elif stage.function is pictures.keep:
            # Of a cell that is finished; that another one has failed is said already, and its numbers stay.
            cell = stage.job.cell.manifest
            if not self._fatal and cell.key not in self.failures:
                note(f"warning: no pictures of {cell.title}: {outcome.error}")
        elif self.on_error == "fail":
            # The cells that wait for this stage, or for one that waits for it, fail with it.
            broken = {stage.name}
            for waiting in self.stages:
                if broken & {*waiting.needs}:
                    broken.add(waiting.name)
                    if waiting.cell is not None and waiting.cell.key not in self._ended:
                        self.record_failure(waiting.cell, outcome.error, said=False)
