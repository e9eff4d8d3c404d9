"""Files that appear whole or not at all, whatever they are called, and what killed processes leave of them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bench.runtime.files import replacing, sweep
from tests.bench.killed import left


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.json"
    with pytest.raises(RuntimeError), replacing(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert list(target.parent.iterdir()) == []
    with replacing(target) as temporary:
        temporary.write_text("whole")
        assert not target.exists()
    assert [path.read_text() for path in target.parent.iterdir()] == ["whole"]


def test_two_writers_of_one_process_do_not_meet(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    with replacing(target) as one:
        one.write_text("first")
        with replacing(target) as other:
            other.write_text("second")
    assert target.read_text() == "first" and list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("name", ["n" * 255, "\N{HIRAGANA LETTER A}" * 85, "a\nb.png"])
def test_any_name_that_the_file_system_takes(tmp_path: Path, name: str) -> None:
    stale = left(tmp_path / name)
    with replacing(tmp_path / name) as temporary:
        temporary.write_text("whole")
    sweep({tmp_path / name})
    assert (tmp_path / name).read_text() == "whole" and not stale.exists()


def test_what_is_written_is_on_the_disk_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, flushed = tmp_path / "a.json", []
    monkeypatch.setattr(os, "fsync", lambda number: flushed.append((os.fstat(number).st_size, target.exists())))
    with replacing(target) as temporary:
        temporary.write_text("whole")
    assert flushed == [(len("whole"), False)]


def test_sweeping_takes_what_dead_processes_of_this_machine_left(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    stale, alive = left(target), left(target, killed=False)
    elsewhere, long_ago = left(target, "elsewhere"), left(target, "elsewhere")
    others = left(tmp_path / "notes.txt")
    os.utime(long_ago, (time.time() - 25 * 3600,) * 2)
    sweep({target})
    assert [path.exists() for path in (stale, alive, elsewhere, long_ago, others)] == [False, True, True, False, True]
