"""What the process that watches workers tells of their stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("submitit", reason="needs refinebench[slurm]")

from bench.contracts import UserError
from bench.execution.engines import Outcome
from bench.execution.engines.journal import End, Journal
from bench.execution.engines.slurm import rest
from bench.execution.stages import Stage

JOB: Any = None
FAILED = Outcome.of(UserError("torn", "file.png", "mend it"))


@pytest.fixture
def journals(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "0.jsonl", tmp_path / "1.jsonl"]
    for path in paths:
        Journal(path)
    return paths


def watched(*names: str, goes_on: bool = True, done: bool = False) -> tuple[rest.Rest, list[tuple[str, Outcome]]]:
    told: list[tuple[str, Outcome]] = []

    def tell(stage: Stage, outcome: Outcome) -> bool:
        told.append((stage.name, outcome))
        return goes_on

    return rest.Rest([Stage(name, print, JOB, name, lambda job: done) for name in names], tell), told


def test_each_end_is_told_once_and_as_whoever_did_the_work_tells_it(journals: list[Path]) -> None:
    left, told = watched("a", "b", "c")
    Journal(journals[0]).add(End("a", Outcome(found=True)))
    Journal(journals[0]).add(End("b", FAILED, heard=True))
    left.look(journals, at_end=False)
    assert told == [] and len(left) == 3
    Journal(journals[1]).add(End("a", Outcome(seconds=3.0)))
    Journal(journals[1]).add(End("b", FAILED))
    left.look(journals, at_end=False)
    left.look(journals, at_end=True)
    assert [(name, outcome.seconds, outcome.error) for name, outcome in told] == [
        ("a", 3.0, ""),
        ("b", None, FAILED.error),
    ]
    assert [stage.name for stage in left.stages] == ["c"]


def test_what_others_have_done_is_told_after_a_while(journals: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "HELD", 0.0)
    left, told = watched("a")
    Journal(journals[0]).add(End("a", Outcome(found=True)))
    left.look(journals, at_end=False)
    assert told == [("a", Outcome(found=True))] and not left


def test_what_was_finished_and_not_said_is_found_in_the_end(journals: list[Path]) -> None:
    left, told = watched("a", done=True)
    left.look(journals, at_end=False)
    assert len(left) == 1
    left.look(journals, at_end=True)
    assert told == [("a", Outcome(found=True))] and not left


def test_what_was_killed_is_told_when_it_is_given_up(journals: list[Path]) -> None:
    left, told = watched("a", "b")
    Journal(journals[0]).add(End("a", Outcome("was killed", killed=True)))
    Journal(journals[0]).add(End("b", Outcome("was killed", killed=True)))
    left.look(journals, at_end=True)
    assert told == [] and left.killed.keys() == {"a", "b"}
    Journal(journals[1]).add(End("a", Outcome()))
    left.look(journals, at_end=True)
    assert left.killed.keys() == {"b"}
    left.give_up()
    assert [(name, outcome.error) for name, outcome in told] == [("a", ""), ("b", "was killed")] and not left


def test_nothing_is_told_after_the_stop(journals: list[Path]) -> None:
    left, told = watched("a", "b", goes_on=False)
    for name in ("a", "b"):
        Journal(journals[0]).add(End(name, FAILED, last=True))
    left.look(journals, at_end=False)
    assert left.stopped and len(told) == 1
