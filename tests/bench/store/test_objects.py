"""What all else relies on: of those who create one object exactly one succeeds; what is there is there whole."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.contracts import UserError
from bench.store import Store
from bench.store.address import objects_at


def test_objects_come_back_and_are_listed(store: Store) -> None:
    objects = store.objects
    assert objects.create("cells/a[1],b=c.json", b"one") and objects.create("cells/b.json", b"")
    assert not objects.create("cells/b.json", b"other")
    objects.replace("cells/b.json", b"three")
    objects.replace("deep/er/c", b"c")
    assert objects.read("cells/a[1],b=c.json") == b"one" and objects.read("cells/b.json") == b"three"
    assert objects.path("deep/er/c").read_bytes() == b"c"
    assert objects.names("cells/") == ["cells/a[1],b=c.json", "cells/b.json"]
    assert objects.names("cells/b") == ["cells/b.json"] and objects.names("deep/") == objects.names("none/") == []
    assert {"cells", "deep"} <= set(objects.folders("")) and objects.folders("deep") == ["deep/er"]
    objects.delete("cells/b.json")
    objects.delete("cells/b.json")
    assert objects.names("cells/") == ["cells/a[1],b=c.json"]
    with pytest.raises(FileNotFoundError):
        objects.read("cells/b.json")


def test_a_folder_is_published_once_and_whole(store: Store) -> None:
    objects = store.objects

    def folder(content: str) -> Path:
        made = objects.local / "work" / content
        (made / "inner").mkdir(parents=True)
        (made / "weights").write_text(content)
        (made / "inner" / "log").write_text(content)
        return made

    assert objects.fetch("refiners/k") is None
    assert objects.publish(folder("one"), "refiners/k") and not objects.publish(folder("two"), "refiners/k")
    found = objects.fetch("refiners/k")
    assert found is not None and (found / "weights").read_text() == (found / "inner" / "log").read_text() == "one"
    objects.withdraw("refiners/k")
    assert objects.fetch("refiners/k") is None
    assert objects.publish(folder("three"), "refiners/k")


def test_a_copy_that_is_damaged_is_fetched_again(s3: str) -> None:
    objects = objects_at(s3)
    work = objects.local / "work" / "w"
    work.mkdir(parents=True)
    (work / "weights").write_bytes(b"learned")
    assert objects.publish(work, "refiners/k")
    found = objects.fetch("refiners/k")
    assert found is not None
    (found / "weights").write_bytes(b"leArned")
    assert objects.fetch("refiners/k") == found and (found / "weights").read_bytes() == b"learned"


RACE = """
import sys, time
from bench.store.address import objects_at
objects, begin = objects_at(sys.argv[1]), float(sys.argv[3])
won = []
for number in range(40):
    time.sleep(max(0, begin + number * 0.02 - time.time()))
    won += [number] * objects.create(f"race/{number}", sys.argv[2].encode())
print(*won)
"""


def test_of_six_processes_that_create_one_object_one_wins(address: str) -> None:
    begin = str(__import__("time").time() + 3)
    racers = [
        subprocess.Popen([sys.executable, "-c", RACE, address, str(n), begin], stdout=subprocess.PIPE, text=True)
        for n in range(6)
    ]
    won = {str(n): {int(number) for number in racer.communicate()[0].split()} for n, racer in enumerate(racers)}
    assert sum(len(numbers) for numbers in won.values()) == 40
    objects = objects_at(address)
    assert {n: won[objects.read(f"race/{n}").decode()] for n in range(40)} == {
        n: next(numbers for numbers in won.values() if n in numbers) for n in range(40)
    }


def test_file_systems_without_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    objects = objects_at(tmp_path)
    assert objects.create("a", b"one") and not objects.create("a", b"two")
    assert objects.read("a") == b"one"
    assert not list((tmp_path / "work").iterdir())


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("ftp://host/x", "no such kind of store 'ftp'"),
        ("s3://KEY:SECRET@bucket/x", "an address with credentials in it"),
        ("https://user:pw@host/x", "no such kind of store 'https'"),
    ],
)
def test_addresses_that_are_none(address: str, what: str) -> None:
    with pytest.raises(UserError, match=what) as told:
        Store(address)
    assert "SECRET" not in str(told.value) and "pw" not in str(told.value)


def test_a_file_url_is_that_folder(tmp_path: Path) -> None:
    Store(tmp_path).objects.replace("a/b", b"here")
    assert Store(f"file://{tmp_path}").objects.read("a/b") == b"here"


def test_a_bucket_that_is_not_there_and_a_server_that_is_not(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no such bucket"):
        Store("s3://no-such-bucket/x").open_for_writing()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="does not answer") as told:
        Store(s3).open_for_writing()
    assert "\n" not in str(told.value)
