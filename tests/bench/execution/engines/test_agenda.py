"""What is done next: each stage once, after those it needs, at the same price however many there are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from bench.contracts import UserError
from bench.execution.engines import Outcome
from bench.execution.engines.agenda import Agenda
from bench.execution.stages import Stage
from bench.store import Lease, Store


@dataclass(frozen=True)
class Job:
    """As much of a job as an agenda looks at."""

    store: Store
    lease: Lease | None = None


@dataclass
class Told:
    """Notes how stages end."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def __call__(self, stage: Stage, outcome: Outcome) -> bool:
        assert stage.name not in self.outcomes
        self.outcomes[stage.name] = outcome
        return True


def stage(store: Store, name: str, *needs: str, done: bool = False) -> Stage:
    return Stage(name, cast(Any, None), cast(Any, Job(store)), f"task-{name}", lambda job: done, needs)


def carried_out(agenda: Agenda, **ends: Outcome) -> list[str]:
    order = []
    while (taken := agenda.take()) is not None:
        order.append(taken.stage.name)
        agenda.ended(taken, ends.get(taken.stage.name, Outcome()))
    return order


def test_the_order_is_the_plans_as_far_as_needs_allow(tmp_path: Path) -> None:
    store, told = Store(tmp_path), Told()
    todo = [
        stage(store, "maps"),
        stage(store, "a", "maps"),
        stage(store, "fit", "maps"),
        stage(store, "b", "fit", "maps"),
        stage(store, "c", "maps"),
    ]
    assert carried_out(Agenda(todo, told)) == ["maps", "a", "fit", "b", "c"] == list(told.outcomes)
    assert store.leases.live() == []


def test_with_a_failed_stage_all_that_wait_for_it_fail_and_no_other(tmp_path: Path) -> None:
    store, told = Store(tmp_path), Told()
    todo = [
        stage(store, "fit"),
        stage(store, "part", "fit"),
        stage(store, "whole", "part"),
        stage(store, "other"),
        stage(store, "there", "fit", done=True),
    ]
    agenda = Agenda(todo, told)
    assert carried_out(agenda, fit=Outcome.of(UserError("no", "fit", "mend it"))) == ["fit", "other"] and agenda.over
    failed = {name for name, outcome in told.outcomes.items() if outcome.error}
    assert failed == {"fit", "part", "whole", "there"} and told.outcomes["whole"].error == told.outcomes["fit"].error


def test_what_another_process_has_is_left_to_it_until_nothing_else_is_to_be_done(tmp_path: Path) -> None:
    mine, other, told = Store(tmp_path), Store(tmp_path), Told()
    lease = other.leases.take("task-b")
    agenda = Agenda([stage(mine, name) for name in "abc"], told)
    assert lease is not None and carried_out(agenda) == ["a", "c"] and not agenda.over
    other.leases.give_back(lease)
    agenda._looked = 0.0  # the pause between two looks is over
    assert carried_out(agenda) == ["b"] and agenda.over


def test_a_stage_that_is_lost_again_and_again_fails(tmp_path: Path) -> None:
    told = Told()
    agenda = Agenda([stage(Store(tmp_path), "a")], told)
    assert carried_out(agenda, a=Outcome(lost=True)) == ["a"] * 3
    assert "taken away 3 times" in told.outcomes["a"].error


@pytest.mark.parametrize("count", [10, 300])
def test_each_stage_asks_the_store_as_often_however_many_there_are(
    tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, told, asked = Store(tmp_path), Told(), Counter[str]()
    for name in ("read", "create", "delete", "names", "replace"):
        monkeypatch.setattr(store.objects, name, counting(getattr(store.objects, name), name, asked))
    first = stage(store, "maps")
    carried_out(Agenda([first, *(stage(store, str(number), "maps") for number in range(count))], told))
    assert len(told.outcomes) == count + 1
    per_stage = {name: asked[name] / (count + 1) for name in asked}
    assert per_stage == {"names": 1.0, "create": 1.0, "read": 2.0, "delete": 1.0}


def counting(function: Any, name: str, asked: Counter[str]) -> Any:
    def counted(*arguments: Any) -> Any:
        asked[name] += 1
        return function(*arguments)

    return counted
