"""The stages of which it is not known yet how they ended, for whoever watches the workers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.execution.engines import Outcome, Told
from bench.execution.engines.journal import End, Journals
from bench.execution.stages import Stage

HELD = 10.0
"""Seconds for which it is not told that a worker has found something done: who has done it may be about to say so."""


class Rest:
    """The stages that are left. Each is told of once, however many workers have come across it.

    Attributes:
        killed: how those ended that were killed, and that may be tried again.
        stopped: nothing more is to be started.
    """

    def __init__(self, stages: Sequence[Stage], told: Told) -> None:
        self._left = {stage.name: stage for stage in stages}
        self._told, self.stopped = told, False
        self.killed: dict[str, Outcome] = {}
        self._journals = Journals()
        self._held: dict[str, tuple[End, float]] = {}

    def __len__(self) -> int:
        return len(self._left)

    @property
    def stages(self) -> list[Stage]:
        return list(self._left.values())

    def look(self, journals: Sequence[Path], *, at_end: bool) -> None:
        """Tell what is new in them.

        Args:
            at_end: nobody writes them any more.
        """
        now = time.monotonic()
        for end in self._journals.new(journals):
            if end.first_hand:
                self._take(end.stage, end.outcome)
            else:
                self._held.setdefault(end.stage, (end, now))
        for name, (end, since) in list(self._held.items()):
            if at_end or now - since >= HELD:
                self._take(name, end.outcome)
        if at_end:
            # A worker may have been killed when it had finished something, and had not said so.
            for stage in self.stages:
                if not self.stopped and stage.is_done:
                    self._take(stage.name, Outcome(found=True))

    def give_up(self) -> None:
        """Tell of those that were killed each time."""
        for name, outcome in list(self.killed.items()):
            self._take(name, replace(outcome, killed=False))

    def _take(self, name: str, outcome: Outcome) -> None:
        self._held.pop(name, None)
        if name not in self._left or self.stopped:
            return
        if outcome.killed:
            self.killed[name] = outcome
            return
        self.killed.pop(name, None)
        self.stopped = not self._told(self._left.pop(name), outcome)
