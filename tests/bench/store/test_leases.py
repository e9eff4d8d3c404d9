"""Who works on what, where processes end well, are killed, or are frozen and wake up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bench.store import Learned, LostError, Store, garbage, leases
from tests.bench.store.test_cells import images, manifest, records


def test_one_at_a_time_and_again_when_it_is_given_back(store: Store) -> None:
    other = Store(store.address)
    lease = store.leases.take("cell-k")
    assert lease is not None and store.leases.holds(lease)
    assert store.leases.take("cell-k") is None and other.leases.take("cell-k") is None
    assert other.leases.take("cell-l") is not None
    assert "process" in other.leases.holder("cell-k") and other.leases.live() == ["cell-k", "cell-l"]
    store.leases.give_back(lease)
    assert store.leases.holder("cell-k") == "" and other.leases.take("cell-k") is not None


def test_that_of_a_process_that_is_gone_is_taken_over_at_once(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    dead = "import sys; from bench.store import Store; assert Store(sys.argv[1]).leases.take('cell-k')"
    subprocess.run([sys.executable, "-c", dead, store.address], check=True)
    assert store.leases.stale() and store.leases.live() == []
    lease = store.leases.take("cell-k")
    assert lease is not None and [gone for _, gone in lease.before] == [True]
    said = capsys.readouterr().err
    assert said.count("taken over from process") == 1 and "which is gone: cell-k" in said
    assert store.objects.names("leases/") == [lease.name]


def test_a_clock_that_is_set_makes_nobody_gone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = store.leases.take("cell-k")
    assert lease is not None
    began, now = psutil.Process.create_time, time.time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: began(self) - 3600)
    monkeypatch.setattr(time, "time", lambda: now() - 3600)
    assert Store(store.address).leases.take("cell-k") is None and store.leases.holds(lease)


def test_another_machines_is_taken_over_when_it_has_been_silent_for_long(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(leases.time, "monotonic", lambda: now[0])
    there = Store(store.address)
    far = there.leases.take("cell-k")
    assert far is not None

    def beats(count: int) -> None:
        told = json.loads(store.objects.read(far.name))
        store.objects.replace(far.name, json.dumps({**told, "machine": "another", "beat": count}).encode())

    beats(1)
    assert store.leases.take("cell-k") is None
    now[0] += leases.EXPIRES - 1
    beats(2)  # it lives, whatever its clock says
    assert store.leases.take("cell-k") is None
    now[0] += leases.EXPIRES - 1
    assert store.leases.take("cell-k") is None
    now[0] += 2
    mine = store.leases.take("cell-k")
    assert mine is not None and [gone for _, gone in mine.before] == [False]
    # It wakes up: it gives up, and takes nothing away.
    assert not there.leases.holds(far)
    with pytest.raises(LostError):
        there.add(manifest(generation=1), records("late"), far)
    there.leases.give_back(far)
    assert store.leases.holds(mine)
    store.add(manifest(generation=1), records("mine"), mine)
    assert images(store) == [["mine"]] and len(store.objects.tree("cells")) == 2


def test_what_one_left_is_gone_on_with_by_the_next(store: Store) -> None:
    first = store.leases.take("fit-k")
    assert first is not None
    (store.workspace(first) / "checkpoint").write_text("half")
    store.leases.give_back(first)
    second = store.leases.take("fit-k")
    assert second is not None and second.token != first.token
    assert (store.workspace(second) / "checkpoint").read_text() == "half"
    assert [path.name for path in (store.objects.local / "work").iterdir()] == [f"fit-k.{second.token}"]
    store.leases.give_back(second)
    third = store.leases.take("fit-k")
    assert third is not None and not list(store.workspace(third, afresh=True).iterdir())


def test_a_training_that_was_whole_but_could_not_be_put_into_the_store_is_gone_on_with(store: Store) -> None:
    first = store.leases.take("fit-k")
    assert first is not None
    (store.workspace(first) / "weights").write_text("learned")
    Learned(store.workspace(first)).finish(1.0)
    store.leases.give_back(first)
    second = store.leases.take("fit-k")
    assert second is not None
    work = store.workspace(second)
    Learned(work).finish(2.0)
    store.keep(store.fitted_refiner("k"), work, second)
    found = store.fitted_refiner("k").find()
    assert found is not None and (found.finished or {})["seconds"] == 2.0


def test_one_that_was_frozen_writes_into_nothing_of_who_took_over(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = store.leases.take("fit-k")
    assert frozen is not None
    log = (store.workspace(frozen) / "log").open("a")
    log.write("whole\n")
    log.flush()
    monkeypatch.setattr(leases, "_is_gone", lambda holder: False)
    monkeypatch.setattr(leases, "EXPIRES", 0.0)
    heir = store.leases.take("fit-k")
    assert heir is not None
    there = store.workspace(heir)
    log.write("late\n")
    log.close()
    assert (there / "log").read_text() == "whole\n"


def test_of_two_attempts_at_the_same_work_the_first_finishes_nothing_and_shares_no_folder(store: Store) -> None:
    far = Store(store.address)  # a worker's, on a node that is only out of reach
    first = store.leases.take("cell-k")
    assert first is not None
    log = (far.workspace(first) / "log").open("a")
    log.write("whole\n")
    log.flush()
    second = store.leases.renew(first)
    assert second is not None and store.leases.holds(second) and store.objects.names("leases/") == [second.name]
    third = store.leases.renew(second)  # the second never got as far as to have a folder
    assert third is not None
    there = store.workspace(third)
    log.write("late\n")
    log.close()
    assert (there / "log").read_text() == "whole\n"
    for late in (first, second):
        assert not far.leases.holds(late)
        with pytest.raises(LostError):
            far.workspace(late)
        with pytest.raises(LostError):
            far.add(manifest(generation=1), records("late"), late)
    assert (there / "log").is_file()
    store.leases.give_back(third)
    assert store.leases.renew(third) is None and store.objects.names("leases/") == []


def test_what_is_held_is_kept_alive_and_given_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT", 0.05)
    with store.leases.keeping():
        lease = store.leases.take("cell-k")
        assert lease is not None
        first = json.loads(store.objects.read(lease.name))
        for _ in range(200):
            if json.loads(store.objects.read(lease.name))["beat"] > first["beat"] + 2:
                break
            time.sleep(0.05)
        else:
            pytest.fail("no sign of life")
    assert store.objects.names("leases/") == []


def test_how_far_the_work_is_stands_in_the_lease_for_others_to_read(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT", 0.05)
    with store.leases.keeping():
        lease = store.leases.take("cell-k")
        assert lease is not None
        (told,) = Store(store.address).leases.holdings()
        assert told.progress is None and told.since is not None and not told.is_gone
        store.leases.report("cell-k", leases.Progress("prn", 3, 8))
        for _ in range(200):
            (told,) = Store(store.address).leases.holdings()
            if told.progress is not None:
                break
            time.sleep(0.05)
        assert told.task == "cell-k" and told.process["pid"] == os.getpid()
        assert told.progress == leases.Progress("prn", 3, 8) and told.since is not None
        assert told.beat is not None and told.since <= told.beat
        store.leases.give_back(lease)
        again = store.leases.take("cell-k")
        assert again is not None and store.leases.holdings()[0].progress is None


@pytest.mark.parametrize(
    "torn", [b'{"pid": 1', b"[]", b'{"progress": 3, "at": "then"}', b'{"progress": {"done": "x"}}']
)
def test_a_torn_lease_tells_nothing_and_ends_nobody(store: Store, torn: bytes) -> None:
    store.objects.replace("leases/cell-k.1.json", torn)
    (told,) = store.leases.holdings()
    assert (told.task, told.progress, told.beat, told.is_gone) == ("cell-k", None, None, False)


def test_a_torn_lease_is_nobodys_once_it_has_been_silent(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.objects.replace("leases/cell-k.1.json", b'{"pid": 1')
    assert store.leases.take("cell-k") is None
    monkeypatch.setattr(leases, "EXPIRES", 0.0)
    assert store.leases.take("cell-k") is not None


def test_leftovers_go_and_what_can_be_gone_on_with_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.open_for_writing()
    dead = (
        "import sys; from bench.store import Store; store = Store(sys.argv[1])\n"
        "for task in sys.argv[2:]: store.workspace(store.leases.take(task)).joinpath('half').write_text('x')\n"
        '(store.objects.local / \'work\' / f\'.a.json.{__import__("platform").node() or "unnamed"}.'
        "{__import__(\"os\").getpid()}.12ab.tmp').write_text('half')"
    )
    subprocess.run([sys.executable, "-c", dead, str(tmp_path), f"cell-{manifest().key}", "cell-other"], check=True)
    store.add(manifest(), records())
    store.tidy()
    assert [path.name.partition(".")[0] for path in (tmp_path / "work").iterdir()] == ["cell-other"]
    assert store.objects.names("leases/") == []


def test_logs_of_long_ago_are_garbage_and_late_ones_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "KEPT_RUNS", 1)
    for name in ("20200101-000000-aaaa", "20200102-000000-bbbb", "20200103-000000-cccc"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "log.jsonl").write_text("{}\n")
    long_ago = time.time() - (garbage.KEPT_DAYS + 1) * 24 * 3600
    for name in ("20200101-000000-aaaa", "20200103-000000-cccc"):
        for path in (tmp_path / "runs" / name / "log.jsonl", tmp_path / "runs" / name):
            os.utime(path, (long_ago, long_ago))
    store = Store(tmp_path)
    assert [folder.name[-4:] for folder in store.run_folders()] == ["cccc", "bbbb", "aaaa"]
    (found,) = store.leftovers()
    assert found.name == "runs/20200101-000000-aaaa"
    found.remove()
    assert [folder.name[-4:] for folder in store.run_folders()] == ["cccc", "bbbb"]
