"""What workers hear of each other."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.contracts import UserError
from bench.execution.engines import Outcome, journal
from bench.execution.engines.journal import End, Heard, HeardError, Journal, Journals
from bench.execution.stages import Stage

JOB: Any = SimpleNamespace(lease="held")


def failed(stage: str, **more: Any) -> End:
    return End(stage, Outcome.of(UserError("torn", "file.png", "mend it")), **more)


def stage(name: str, done: bool = False) -> Stage:
    return Stage(name, print, JOB, f"cell-{name}", bool_of(done))


class bool_of:  # noqa: N801
    """A function that can be pickled."""

    def __init__(self, value: bool) -> None:
        self.value = value

    def __call__(self, job: Any) -> bool:
        return self.value


def test_what_is_written_is_read_once_and_a_torn_line_when_it_is_whole(tmp_path: Path) -> None:
    path, reader = tmp_path / "0.jsonl", Journals()
    defect = Outcome("ValueError: no", "Traceback", ValueError("no"), killed=True, seconds=1.5, host="node7")
    writer = Journal(path)
    writer.add(failed("a", last=True))
    writer.add(End("b", defect, heard=True))
    text = path.read_bytes()
    path.write_bytes(text[:-20])
    (first,) = reader.new([path])
    assert (first.stage, first.last, first.heard, first.outcome.error) == ("a", True, False, "torn (file.png): mend it")
    assert isinstance(first.outcome.raised, UserError) and first.outcome.raised.fix == "mend it"
    path.write_bytes(text)
    (second,) = reader.new([path])
    assert second == End("b", Outcome(**{**vars(defect), "raised": None}), heard=True)
    assert reader.new([path]) == []


def test_who_starts_again_takes_a_torn_line_out(tmp_path: Path) -> None:
    path = tmp_path / "0.jsonl"
    Journal(path).add(failed("a"))
    path.write_bytes(path.read_bytes() + b'{"stage": "b')
    Journal(path).add(failed("c"))
    assert [end.stage for end in Journals().new([path])] == ["a", "c"]


def test_a_stage_that_has_failed_elsewhere_is_refused_with_the_same_line(tmp_path: Path) -> None:
    path = tmp_path / "0.jsonl"
    writer, heard = Journal(path), Heard([path])
    a, b = heard.unless_failed(stage("a")), heard.unless_failed(stage("b", done=True))
    assert not a.is_done and b.is_done and not heard.has("a")
    writer.add(failed("a"))
    with pytest.raises(HeardError) as refused:
        assert a.is_done
    assert Outcome.of(refused.value).error == failed("a").outcome.error
    assert b.is_done and heard.has("a") and not heard.has("b")
    assert not pickle.loads(pickle.dumps(a)).is_done  # in the stage's own process nothing is heard


def test_what_is_told_to_be_done_is_not_looked_at_again(tmp_path: Path) -> None:
    path = tmp_path / "0.jsonl"
    writer, heard = Journal(path), Heard([path])
    a, b = heard.unless_failed(stage("a")), heard.unless_failed(stage("b"))
    writer.add(End("a", Outcome(seconds=1.0, host="node7")))
    assert a.is_done and not b.is_done


def test_who_does_not_hold_the_lease_looks_once_in_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(journal.time, "monotonic", lambda: now)
    path = tmp_path / "0.jsonl"
    writer, heard = Journal(path), Heard([path])
    free: Any = SimpleNamespace(lease=None)
    a, b = (heard.unless_failed(replace(stage(name), job=free)) for name in "ab")
    assert not a.is_done
    writer.add(End("a", Outcome(found=True)))
    assert not a.is_done
    now = journal.LOOK
    assert a.is_done
    writer.add(failed("b"))
    assert not b.is_done
    with pytest.raises(HeardError):
        assert replace(b, job=JOB).is_done


def test_after_the_last_end_all_are_refused(tmp_path: Path) -> None:
    Journal(tmp_path / "0.jsonl").add(failed("a", last=True))
    with pytest.raises(HeardError):
        assert Heard([tmp_path / "0.jsonl"]).unless_failed(stage("b")).is_done


def test_what_was_killed_may_be_tried_again_by_the_next_workers_alone(tmp_path: Path) -> None:
    before, beside = tmp_path / "0.jsonl", tmp_path / "1.jsonl"
    Journal(before).add(End("a", Outcome("was killed", killed=True)))
    Journal(before).add(failed("b"))
    Journal(beside)
    assert not Heard([beside], [before]).unless_failed(stage("a")).is_done
    for refused in (Heard([before]).unless_failed(stage("a")), Heard([beside], [before]).unless_failed(stage("b"))):
        with pytest.raises(HeardError):
            assert refused.is_done
