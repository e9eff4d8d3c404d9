"""What ``bench refine --out`` remembers: other work is refused, changed inputs are computed anew, kills do no harm."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bench
from bench.cli import main
from bench.commands.refined import RECORD, Made, Record, Task, Work, file_digest
from bench.contracts import UserError
from bench.images import read_map, write_map
from bench.runtime.sealed import unsealed
from bench.training import save_weights
from tests.bench.conftest import Toy
from tests.bench.trained import Times, install

OUT = Path("out")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    install(tmp_path / "more", monkeypatch)
    for factor in (0.25, 0.5):
        save_weights(Times(factor), Path(f"{factor}.safetensors"))


def call(toy: Toy, *more: str, refiner: str = "scale", checkpoint: float | None = 0.25) -> int:
    weights = [] if checkpoint is None else ["--checkpoint", f"{checkpoint}.safetensors"]
    folders = ["--images", str(toy.images), "--maps", str(toy.maps), "--out", str(OUT)]
    return main(["refine", "--refiner", refiner, *weights, *folders, "--device", "cpu", *more])


def written() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(OUT.iterdir()) if path.name != RECORD}


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"refiner": "identity", "checkpoint": None}, "not identity"),
        ({"refiner": "stubborn"}, "not stubborn[weights=0.25.safetensors]"),
        ({"checkpoint": 0.5}, "not scale[weights=0.5.safetensors]"),
        ({"refiner": "scale[dies_at=99]"}, "dies_at=99"),
        ({"more": ("--format", "npy")}, "not scale[weights=0.25.safetensors] as npy"),
    ],
    ids=lambda value: "",
)
def test_other_work_is_refused_until_it_is_forced(
    toy: Toy, capfd: pytest.CaptureFixture[str], other: dict[str, Any], says: str
) -> None:
    assert call(toy) == 0
    before = written()
    more = other.pop("more", ())
    capfd.readouterr()
    assert call(toy, *more, **other) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and written() == before
    assert "made by scale[weights=0.25.safetensors]" in err and says in err and "--force" in err
    assert call(toy, *more, "--force", **other) == 0
    assert capfd.readouterr().out == "10 maps written to out\n"
    assert call(toy, *more, **other) == 0
    assert capfd.readouterr().out == "0 maps written to out\n"
    assert call(toy) == 2


def test_weights_of_other_contents_under_the_same_name_are_other_work(
    toy: Toy, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call(toy) == 0
    save_weights(Times(0.75), Path("0.25.safetensors"))
    assert call(toy) == 2
    assert "with other parameters, files or another version" in capfd.readouterr().err


def test_a_checkpoint_moved_elsewhere_is_the_same_work(toy: Toy) -> None:
    assert call(toy) == 0
    Path("else").mkdir()
    moved = shutil.copy("0.25.safetensors", "else/0.25.safetensors")
    options: dict[str, Any] = {"images": toy.images, "maps": toy.maps, "out": OUT, "device": "cpu"}
    assert bench.refine(refiner="scale", checkpoint=Path(moved), **options) == 0


def test_a_runs_folder_counts_by_what_was_learned(toy: Toy, capfd: pytest.CaptureFixture[str]) -> None:
    bench.run(dataset=[toy.dataset], base=[toy.base], refiner=["threshold"], store="runs", engine="inline")
    (folder,) = Path("runs/refiners").iterdir()
    more = ["--checkpoint", str(folder)]
    assert call(toy, *more, refiner="threshold", checkpoint=None) == 0
    assert call(toy, *more, refiner="threshold", checkpoint=None) == 0
    assert capfd.readouterr().out == "10 maps written to out\n0 maps written to out\n"
    learned = folder / "threshold.json"
    learned.write_text(learned.read_text().replace('"threshold": 0.', '"threshold": 0.1'))
    assert call(toy, *more, refiner="threshold", checkpoint=None) == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_changed_images_and_maps_are_refined_anew(toy: Toy, capfd: pytest.CaptureFixture[str], workers: int) -> None:
    assert call(toy) == 0
    before = {name: (OUT / name).stat().st_mtime_ns for name in written()}
    times = (toy.maps / "disc2.png").stat()
    write_map(toy.maps / "disc2.png", np.full((24, 20), 0.8, np.float32))
    os.utime(toy.maps / "disc2.png", ns=(times.st_atime_ns, times.st_mtime_ns))  # contents count, and no times
    os.utime(toy.maps / "disc3.png")
    Image.fromarray(np.zeros((24, 20, 3), np.uint8)).save(toy.images / "disc7.png")
    capfd.readouterr()
    assert call(toy, "--workers", str(workers)) == 0
    out, err = capfd.readouterr()
    assert out == "2 maps written to out\n" and "2 maps are made anew: their images or maps have changed" in err
    after = {name: (OUT / name).stat().st_mtime_ns for name in written()}
    assert {name for name in before if before[name] != after[name]} == {"disc2.png", "disc7.png"}
    np.testing.assert_allclose(read_map(OUT / "disc2.png"), 0.2, atol=1e-4)


def no_record(toy: Toy) -> None:
    shutil.rmtree(OUT / RECORD)


def by_hand(toy: Toy) -> None:
    write_map(OUT / "disc5.png", np.zeros((24, 20), np.float32))


def torn_file(toy: Toy) -> None:
    (OUT / "disc5.png").write_bytes((OUT / "disc5.png").read_bytes()[:-5])


def new_map_with_a_file_in_its_place(toy: Toy) -> None:
    shutil.copy(toy.images / "disc0.png", toy.images / "new.png")
    for folder in (toy.maps, OUT):
        shutil.copy(toy.maps / "disc0.png", folder / "new.png")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (no_record, "10 files are in the way, not written by 'bench refine' or changed since, e.g. disc0.png (out)"),
        (by_hand, "1 files are in the way, not written by 'bench refine' or changed since, e.g. disc5.png (out)"),
        (torn_file, "disc5.png (out)"),
        (new_map_with_a_file_in_its_place, "new.png (out)"),
    ],
)
def test_files_of_unknown_origin_are_not_taken_for_done(
    toy: Toy, capfd: pytest.CaptureFixture[str], change: Callable[[Toy], None], says: str
) -> None:
    assert call(toy) == 0
    expected = written()
    change(toy)
    before = written()
    capfd.readouterr()
    assert call(toy) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and says in err and "--force" in err
    assert written() == before
    assert call(toy, "--force") == 0
    assert {name: made for name, made in written().items() if name != "new.png"} == expected
    assert call(toy) == 0


def test_other_files_in_the_folder_are_none_of_its_business(toy: Toy) -> None:
    OUT.mkdir()
    (OUT / "notes.txt").write_text("mine")
    assert call(toy) == 0
    assert (OUT / "notes.txt").read_text() == "mine" and len(written()) == 11


def flipped(file: Path) -> str:
    """With one bit of a digit changed."""
    return "".join(chr(ord(letter) ^ 1) if letter == "3" else letter for letter in file.read_text())


def test_a_damaged_record_is_told_and_may_be_forced(toy: Toy, capfd: pytest.CaptureFixture[str]) -> None:
    assert call(toy) == 0
    for part in ("work.json", "*.jsonl"):
        (damaged,) = (OUT / RECORD).glob(part)
        for damage in ("no json\n", "[]\n", '{"refiner": "scale"}\n', '{"file": "x"}\n', "\x00\n", flipped(damaged)):
            damaged.write_text(damage)
            capfd.readouterr()
            assert call(toy) == 2
            err = capfd.readouterr().err
            assert "damaged record" in err and err.count("\n") == 1
        assert call(toy, "--force") == 0
        assert call(toy) == 0


def test_wherever_a_call_was_killed_the_next_one_goes_on(toy: Toy) -> None:
    """A kill leaves a beginning of the record, cut at any byte, and the maps begun by then, or all but one."""
    assert call(toy) == 0
    (log,) = (OUT / RECORD).glob("*.jsonl")
    record, expected, work = log.read_bytes(), written(), (OUT / RECORD / "work.json").read_bytes()
    lines = [unsealed(line) for line in record.splitlines()]
    for cut in np.random.default_rng(0).integers(0, len(record), 20):
        left = record[:cut]
        whole = lines[: left.count(b"\n")]
        begun = list(dict.fromkeys(line["file"] for line in whole))
        for there in (begun, begun[:-1]):
            shutil.rmtree(OUT)
            (OUT / RECORD).mkdir(parents=True)
            (OUT / RECORD / "work.json").write_bytes(work)
            (OUT / RECORD / log.name).write_bytes(left)
            for name in there:
                (OUT / name).write_bytes(expected[name])
            assert call(toy) == 0
            assert written() == expected


def test_a_forced_call_that_stops_is_gone_on_with_unforced(toy: Toy) -> None:
    assert call(toy) == 0
    image = toy.images / "disc4.png"
    whole = image.read_bytes()
    image.write_bytes(whole[:-60])
    assert call(toy, "--force", refiner="identity", checkpoint=None) == 2
    image.write_bytes(whole)
    assert call(toy, refiner="identity", checkpoint=None) == 0
    for name in written():
        np.testing.assert_array_equal(read_map(OUT / name), read_map(toy.maps / name))


def test_forced_over_other_work_it_says_what_stays(toy: Toy, capfd: pytest.CaptureFixture[str]) -> None:
    assert call(toy) == 0
    (toy.maps / "disc9.png").unlink()
    assert call(toy, "--force", refiner="identity", checkpoint=None) == 0
    assert "warning: 1 maps of earlier work stay in out, e.g. disc9.png" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["a", "b"])
def test_of_two_calls_that_begin_at_once_equal_ones_go_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    OUT.mkdir()
    faster, slower = (Record(OUT, Work(which, which * 32, "like"), force=False) for which in ("a", name))
    tasks = [Task(Path("image"), Path("map"), OUT / "map.png")]
    create = slower.objects.create

    with ExitStack() as opened:

        def after_the_other(target: str, content: bytes) -> bool:
            if target == "work.json":  # between the look whether there is one and the writing of it
                opened.enter_context(faster.open(tasks))
            return create(target, content)

        monkeypatch.setattr(slower.objects, "create", after_the_other)
        if name == "a":
            opened.enter_context(slower.open(tasks))
        else:
            with pytest.raises(UserError, match="made by a, not b"):
                opened.enter_context(slower.open(tasks))


def test_what_others_end_between_the_first_look_and_the_start_is_done() -> None:
    """The late one looks after the first map, and starts when the other has ended: its log goes, not what it tells."""
    OUT.mkdir()
    image, of_map = Path("image"), Path("map")
    for file in (image, of_map):
        file.touch()
    tasks = [Task(image, of_map, OUT / f"{n}.png") for n in range(3)]
    work = Work("a", "a" * 32, "like")
    early = Record(OUT, work, force=False)
    with early.open(tasks):
        for n, task in enumerate(tasks):
            early.begun(task)
            task.target.write_bytes(bytes([n]))
            early.done(Made(task.target, *map(file_digest, (image, of_map, task.target))))
            if n == 0:
                late = Record(OUT, work, force=False)
                left = late.todo(tasks)
    assert left == tasks[1:]
    with late.open(left):
        assert list(late.shares(left, 1)) == []
    assert Record(OUT, work, force=False).todo(tasks) == []
    assert len(list((OUT / RECORD).glob("*.jsonl"))) == 1


def test_python_gets_the_same(toy: Toy) -> None:
    options: dict[str, Any] = {"images": toy.images, "maps": toy.maps, "out": OUT, "device": "cpu"}
    assert bench.refine(refiner="identity", **options) == 10
    with pytest.raises(UserError, match="made by identity, not guided-filter"):
        bench.refine(refiner="guided-filter", **options)
    assert bench.refine(refiner="guided-filter", force=True, **options) == 10


def test_several_calls_share_a_folder(toy: Toy, tmp_path: Path) -> None:
    """Each map is made by one of them; all end well, and the maps are those of a lone call."""
    assert call(toy) == 0
    expected = written()
    shutil.rmtree(OUT)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "more"), *sys.path])}
    weights = ["--checkpoint", "0.25.safetensors"]
    folders = ["--images", str(toy.images), "--maps", str(toy.maps), "--out", str(OUT), "--device", "cpu"]
    command = [sys.executable, "-m", "bench.cli", "refine", "--refiner", "scale", *weights, *folders]
    calls = [
        subprocess.Popen([*command, "--workers", str(1 + n % 2)], env=environment, stdout=subprocess.PIPE, text=True)
        for n in range(3)
    ]
    said = [one.communicate()[0] for one in calls]
    assert [one.returncode for one in calls] == [0, 0, 0]
    assert sum(int(line.split()[0]) for line in said) == 10
    assert written() == expected
    assert not list((OUT / RECORD).glob("leases/*")) and not list((OUT / RECORD).glob("work/*"))
    assert call(toy) == 0 and written() == expected
