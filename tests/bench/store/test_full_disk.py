"""A store whose disk is full, read-only or gone, or whose server is: one line, and whole once the cause is gone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib import import_module
from pathlib import Path

import pytest

import bench
from bench.cli import main
from bench.store import Store, bucket, leases, maps
from tests.bench.conftest import Toy, install
from tests.bench.store.conftest import Server
from tests.bench.store.killed import found
from tests.bench.store.test_writers import contents, numbers

PAGE = 4096
ROOMY = f"size={2**24},nr_inodes=10000"
DATASET = "folder[images=images,masks=masks,val=0.3,test=0.5]"

PLUGIN = '''
import torch
from safetensors.torch import save_file

from bench.contracts import Refiner


def happens(call):
    """What else is done in a call; tests put something here."""


def otherwise(path):
    try:
        path.write_bytes(bytes(10**6))
    except OSError as error:
        raise RuntimeError("could not save") from error


SAVED_BY = {
    "python": lambda path: path.write_bytes(bytes(10**6)),
    "torch": lambda path: torch.save({"a": torch.ones(10**6)}, path),
    "safetensors": lambda path: save_file({"a": torch.ones(10**6)}, path),
    "otherwise": otherwise,
}


class Learns(Refiner):
    """Learns nothing that matters, and keeps it in a large file."""

    trainable = True

    def __init__(self, *, by: str = "python"):
        self.by = by

    def fit(self, val, workdir):
        happens("fit")
        val[0]
        if not (workdir / "kept").is_file():
            SAVED_BY[self.by](workdir / "half")
            (workdir / "half").rename(workdir / "kept")

    def refine(self, images, maps):
        happens("refine")
        return [probs / 2 for probs in maps]
'''


class Disk:
    """A small disk of its own.

    Attributes:
        folder: where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._mount(ROOMY)

    def _mount(self, options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no disk of its own can be mounted here: {done.stderr.strip()}")

    def change(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.folder)], check=True)

    def end(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

    def renew(self, options: str) -> None:
        """An empty one."""
        self.end()
        self._mount(options)

    def used(self) -> tuple[int, int]:
        """Pages and files."""
        told = os.statvfs(self.folder)
        return (told.f_blocks - told.f_bfree) * told.f_frsize // PAGE, told.f_files - told.f_ffree


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path / "disk")
    yield made
    made.end()


@pytest.fixture(autouse=True)
def folder(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(maps, "SHARD_MAPS", 2)
    install(tmp_path / "site", "toy_learns", PLUGIN, "[bench.refiners]\nlearns = toy_learns:Learns\n", monkeypatch)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}:{Path(__file__).parents[3]}")


def run(store: str, *more: str, refiners: tuple[str, ...] = ("threshold", "morphology[tune=2]")) -> list[str]:
    options = more if "--engine" in more else ("--engine", "inline", *more)
    what = ["--dataset", DATASET, "--base", "maps[path=maps]", "--refiner", *refiners, "--device", "cpu"]
    return ["run", *what, "--store", store, *options]


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[[list[str]], str]:
    """Calls ``bench``, which ends with code 2 and one line that says what a machine has refused and where."""

    def call(argv: list[str]) -> str:
        capsys.readouterr()
        began = time.monotonic()
        code = main(argv)
        said = capsys.readouterr().err
        errors = [line for line in said.splitlines() if line.startswith("bench: error: ")]
        assert code == 2 and len(errors) == 1 and said.splitlines()[-1] == errors[0], (code, said)
        assert "Traceback" not in said and "defect" not in said, said
        assert time.monotonic() - began < 60
        return errors[0]

    return call


SLOW = pytest.mark.slow
FULL = "No space left on device ("


@pytest.mark.parametrize(
    ("what", "steps"),
    [
        ("pages", 13),
        pytest.param("pages", 1000, marks=SLOW),
        pytest.param("files", 1000, marks=SLOW),
    ],
)
def test_a_disk_that_is_full_from_somewhere_on(
    disk: Disk, fails: Callable[[list[str]], str], what: str, steps: int
) -> None:
    assert main(run("disk/store")) == 0
    expected, whole = found("disk/store"), contents("disk/store")
    needed = disk.used()[what == "files"]
    sizes = sorted({1 + (needed - 2) * step // (steps - 1) for step in range(steps)})
    assert len(sizes) == min(steps, needed - 1)
    for size in sizes:
        disk.renew(f"size={size * PAGE}" if what == "pages" else f"size={2**24},nr_inodes={size + 1}")
        line = fails(run("disk/store"))
        assert FULL in line and "disk/store" in line
        disk.change(ROOMY)
        assert main(run("disk/store")) == 0, size
        assert found("disk/store")[0] == expected[0] and contents("disk/store") == whole, size
        assert not list(Path("disk/store/work").iterdir())


@pytest.mark.parametrize(
    ("pages", "on_error"),
    [(12, "fail"), *(pytest.param(n, do, marks=SLOW) for n in (4, 20) for do in ("fail", "skip"))],
)
def test_a_full_disk_under_stages_of_their_own(
    disk: Disk, capsys: pytest.CaptureFixture[str], pages: int, on_error: str
) -> None:
    disk.renew(f"size={pages * PAGE}")
    more = ("--engine", "local", "--on-error", on_error)
    code, said = main(run("disk/store", *more)), capsys.readouterr().err
    assert code in ((2,) if on_error == "fail" else (2, 3)) and said.count("bench: error: ") == (code == 2), said
    assert FULL in said and "Traceback" not in said and "defect" not in said, said
    disk.change(ROOMY)
    assert main(run("disk/store")) == 0
    assert len(numbers("disk/store")) == 3 and not list(Path("disk/store/work").iterdir())


@pytest.mark.parametrize("by", ["torch", "safetensors", "otherwise", "python"])
def test_a_plug_in_that_fills_the_disk(disk: Disk, fails: Callable[[list[str]], str], by: str) -> None:
    """However it says so, that is the reason."""
    refiner = "learns" if by == "python" else f"learns[by={by}]"
    disk.renew(f"size={60 * PAGE}")
    assert FULL in fails(run("disk/store", refiners=(refiner,)))
    assert done("disk/store") == ["identity"]
    disk.change(ROOMY)
    assert main(run("disk/store", refiners=(refiner,))) == 0
    assert done("disk/store") == ["identity", refiner]


def test_cells_that_fail_by_a_full_disk_are_skipped(disk: Disk, capsys: pytest.CaptureFixture[str]) -> None:
    disk.renew(f"size={60 * PAGE}")
    command = run("disk/store", "--on-error", "skip", refiners=("learns[by=otherwise]", "threshold"))
    code, said = main(command), capsys.readouterr().err
    assert code in (2, 3) and FULL in said and "Traceback" not in said, said
    disk.change(ROOMY)
    assert main(command) == 0


def done(store: str) -> list[str]:
    return sorted(cell.refiner for cell in Store(store).manifests() if cell.status == "done")


@pytest.mark.parametrize(
    "command",
    [
        ["train", "refiner", "threshold"],
        ["train", "refiner", "learns"],
        ["tune", "--refiner", "morphology", "--trials", "2"],
    ],
    ids=lambda command: " ".join(command[:3]),
)
def test_a_training_or_a_tuning_on_a_full_disk(
    disk: Disk, fails: Callable[[list[str]], str], command: list[str]
) -> None:
    command = [*command, "--dataset", DATASET, "--base", "maps[path=maps]", "--store", "disk/store", "--device", "cpu"]
    for pages in (1, 2, 3):
        disk.renew(f"size={pages * PAGE}")
        assert FULL in fails(command)
    disk.change(ROOMY)
    assert main(command) == 0
    (learned,) = Path("disk/store/refiners").iterdir()
    assert (learned / "finished.json").is_file() and not list(Path("disk/store/work").iterdir())


def test_signs_of_life_survive_a_full_disk(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT", 0.02)
    failed: list[object] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    store = Store("disk/store")

    def beat() -> int:
        return int(json.loads(store.objects.read("leases/cell-k.1.json"))["beat"])

    with store.leases.keeping():
        assert store.leases.take("cell-k") is not None
        disk.change(f"size={disk.used()[0] * PAGE}")
        time.sleep(0.2)
        assert failed == []
        last = beat()
        disk.change(ROOMY)
        deadline = time.monotonic() + 20
        while beat() <= last and time.monotonic() < deadline:
            time.sleep(0.02)
        assert beat() > last
        disk.change("ro")  # it cannot be given back now, and is stale once this process has ended
    assert store.leases.stale() == ["leases/cell-k.1.json"]


def test_a_store_that_can_only_be_read(
    disk: Disk, fails: Callable[[list[str]], str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(run("disk/store")) == 0
    disk.change("ro")
    line = fails(run("disk/store"))
    assert "Read-only file system (" in line and "name a writable folder or bucket with --store" in line
    capsys.readouterr()
    for command in (["report"], ["store", "check"], ["store", "gc", "--dry-run"]):
        assert main([*command, "--store", "disk/store"]) == 0
        assert capsys.readouterr().err == ""
    disk.change("rw")
    assert main(run("disk/store")) == 0


def deleted(disk: Disk) -> None:
    shutil.rmtree(disk.folder / "store")


def replaced(disk: Disk) -> None:
    shutil.rmtree(disk.folder / "store")
    (disk.folder / "store").write_text("in the way")


def filled(disk: Disk) -> None:
    disk.change(f"size={disk.used()[0] * PAGE}")


def protected(disk: Disk) -> None:
    disk.change("ro")  # not while a file is open to be written, as it is in refine


@pytest.mark.parametrize(
    ("call", "harm"),
    [(call, harm) for call in ("fit", "refine") for harm in (deleted, replaced, filled)] + [("fit", protected)],
)
@pytest.mark.parametrize("often", [False, True], ids=["once", "each time"])
def test_a_store_that_is_taken_away_under_the_run(
    disk: Disk,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    harm: Callable[[Disk], None],
    call: str,
    often: bool,
) -> None:
    """One line, or it is whole nevertheless; the same command afterwards is."""
    command = run("disk/store", refiners=("learns", "threshold"))
    left = [1000 if often else 1]

    def happens(now: str) -> None:
        if now == call and left[0] and (disk.folder / "store").is_dir():
            left[0] -= 1
            harm(disk)

    monkeypatch.setattr(import_module("toy_learns"), "happens", happens)
    capsys.readouterr()
    code = main(command)
    said = capsys.readouterr().err
    errors = [line for line in said.splitlines() if line.startswith("bench: error: ")]
    assert (code, len(errors)) in ((0, 0), (2, 1)) and "Traceback" not in said and "defect" not in said, said
    if code == 0:
        assert done("disk/store") == ["identity", "learns", "threshold"]
    left[0] = 0
    disk.change(f"rw,{ROOMY}")
    if (disk.folder / "store").is_file():
        (disk.folder / "store").unlink()
    assert main(command) == 0
    assert done("disk/store") == ["identity", "learns", "threshold"]
    assert not bench.check_store("disk/store") and not list(Path("disk/store/work").iterdir())


@pytest.mark.parametrize("call", ["fit", "refine"])
def test_a_server_that_goes_away_under_the_run(
    s3: str, s3_server: Server, fails: Callable[[list[str]], str], monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setattr(bucket, "_PATIENCE", timedelta(seconds=2))
    command = run(s3, refiners=("learns",))
    gone: list[str] = []

    def happens(now: str) -> None:
        if now == call and not gone:
            gone.append(now)
            s3_server.go()

    monkeypatch.setattr(import_module("toy_learns"), "happens", happens)
    line = fails(command)
    assert "the store does not answer" in line and s3 in line
    s3_server.come_back()
    assert main(command) == 0
    assert len(numbers(s3)) == 2 and not bench.check_store(s3)
