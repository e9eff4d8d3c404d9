"""``bench data prepare``: each dataset's published archives become the folder that it is read from, or nothing does."""

from __future__ import annotations

import errno
import os
import platform
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.cli import main
from bench.contracts import SPLITS
from bench.datasets import prepare
from bench.registry import load_dataset
from tests.bench.datasets.archives import below, ecssd, tarred, tree, zipped
from tests.bench.datasets.files import write_image, write_mask


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "data"))


def prepared(name: str, *archives: Path) -> int:
    return main(["data", "prepare", name, "--archive", *map(str, archives)])


def refused(capsys: pytest.CaptureFixture[str], name: str, *archives: Path) -> str:
    """The one line of a call that must fail."""
    capsys.readouterr()
    assert prepared(name, *archives) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.startswith("bench: error: ") and captured.err.count("\n") == 1
    return captured.err


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def pictures(tmp_path: Path, *paths: str) -> dict[str, bytes]:
    """Files by their names: a mask where it is a PNG, else an image."""
    made = tmp_path / "pictures"
    return {name: (write_mask if name.endswith(".png") else write_image)(made / name).read_bytes() for name in paths}


def deepglobe(tmp_path: Path) -> dict[str, bytes]:
    labelled = [f"train/{number}_{end}" for number in range(10, 20) for end in ("sat.jpg", "mask.png")]
    return pictures(tmp_path, *labelled, "valid/7_sat.jpg", "test/8_sat.jpg")


def kvasir(tmp_path: Path) -> dict[str, bytes]:
    names = [f"{folder}/c{number}.jpg" for number in range(10) for folder in ("images", "masks")]
    lists = {"train.txt": b"c0\nc1\nc2\nc3\nc4\n", "val.txt": b"c5\nc6\nc7\nc8\nc9\n"}
    return below("Kvasir-SEG", pictures(tmp_path, *names) | {"kavsir_bboxes.json": b"{}"} | lists)


def duts(tmp_path: Path) -> dict[str, bytes]:
    return pictures(
        tmp_path,
        *(
            f"{part}/{part}-{end}"
            for part in ("DUTS-TR", "DUTS-TE")
            for number in range(10)
            for end in (f"Image/n{number}.jpg", f"Mask/n{number}.png")
        ),
    )


def fss1000(tmp_path: Path) -> dict[str, bytes]:
    # Two classes of training, one of the official list; a stray as in the release.
    classes = ("abe's_flyingfish", "ab_wheel", "zzz_not_listed")
    pairs = [f"{name}/{number}.{end}" for name in classes for number in range(1, 11) for end in ("jpg", "png")]
    return below("fewshot_data", pictures(tmp_path, *pairs, "ab_wheel/stray.jpeg"))


@pytest.mark.parametrize(
    ("name", "make", "counts"),
    [
        ("deepglobe", deepglobe, (8, 1, 1)),
        ("kvasir", kvasir, (5, 4, 1)),
        ("duts", duts, (10, 8, 2)),
        ("ecssd", ecssd, (0, 4, 1)),
    ],
)
@pytest.mark.parametrize("above", ["", "one", "one/more"])
def test_each_layout_is_found_whatever_folders_are_above(
    name: str, make: object, counts: tuple[int, int, int], above: str, tmp_path: Path
) -> None:
    files = make(tmp_path)  # type: ignore[operator]
    archive = zipped(tmp_path / "published.zip", below(above, files) if above else files)
    assert prepared(name, archive) == 0
    source = load_dataset(name)
    assert tuple(len(source.split(split)) for split in SPLITS) == counts
    assert [finding for finding in source.verify() if finding.error] == []


def test_few_shot_classes_keep_their_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepared("fss1000", zipped(tmp_path / "a.zip", fss1000(tmp_path))) == 0
    source = load_dataset("fss1000")
    sizes = [len(source.split(split)) for split in SPLITS]
    assert sum(sizes) == 3 * 5  # ten pairs a class, five of them its support
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("fss1000: 60 files, ") and said[0].endswith("data/fss1000/fewshot_data")
    assert said[1].strip() == f"train {sizes[0]}, val {sizes[1]}, test {sizes[2]}; 15 of 4999 queries"
    assert said[2].strip() == "left out, no part of the dataset: fewshot_data/ab_wheel/stray.jpeg"


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_every_packing_gives_the_same_files(suffix: str, tmp_path: Path) -> None:
    files = ecssd(tmp_path)
    pack = zipped if suffix == "zip" else tarred
    rubbish = {"__MACOSX/images/._0001.jpg": b"x", ".DS_Store": b"x", "images/.DS_Store": b"x", "readme.txt": b"x"}
    assert prepared("ecssd", pack(tmp_path / f"a.{suffix}", below("ECSSD", files) | rubbish)) == 0
    assert tree(tmp_path / "data") == below("ecssd", files)


def test_folders_that_the_archives_lack_are_made(tmp_path: Path) -> None:
    files = ecssd(tmp_path)
    images = {Path(name).name: data for name, data in files.items() if name.endswith(".jpg")}
    masks = {f"ground_truth_mask/{Path(name).name}": data for name, data in files.items() if name.endswith(".png")}
    assert prepared("ecssd", zipped(tmp_path / "images.zip", images), tarred(tmp_path / "gt.tar", masks)) == 0
    assert len(load_dataset("ecssd").split("val")) == 4


def test_a_folder_that_is_lacking_and_could_be_two_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flat = {Path(name).name: data for name, data in kvasir(tmp_path).items()}
    assert "could belong to images or masks" in refused(capsys, "kvasir", zipped(tmp_path / "a.zip", flat))


def test_lists_beside_the_archive_are_given_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = kvasir(tmp_path)
    lists = [tmp_path / name for name in ("train.txt", "val.txt")]
    for path in lists:
        path.write_bytes(files.pop(f"Kvasir-SEG/{path.name}"))
    archive = zipped(tmp_path / "kvasir-seg.zip", files)
    line = refused(capsys, "kvasir", archive)
    assert "no official list of ids" in line and "train.txt" in line and tree(tmp_path / "data") == {}
    assert prepared("kvasir", archive, *lists) == 0
    assert len(load_dataset("kvasir").split("train")) == 5


def test_what_is_there_already_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = tarred(tmp_path / "a.tar.gz", ecssd(tmp_path))
    assert prepared("ecssd", archive) == 0
    (tmp_path / "data" / "ecssd" / ".DS_Store").write_bytes(b"a Mac has looked")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")}
    capsys.readouterr()
    assert prepared("ecssd", archive) == 0
    assert "already in" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")} == before

    mask = tmp_path / "data" / "ecssd" / "masks" / "0003.png"
    mask.write_bytes(mask.read_bytes()[:-1] + b"!")  # of the same size
    assert "move it away" in refused(capsys, "ecssd", archive)
    mask.unlink()
    assert "move it away" in refused(capsys, "ecssd", archive)


def test_an_empty_folder_and_root(tmp_path: Path) -> None:
    (tmp_path / "other" / "ecssd").mkdir(parents=True)
    archive = zipped(tmp_path / "a.zip", ecssd(tmp_path))
    assert main(["data", "prepare", "ecssd", "--archive", str(archive), "--root", str(tmp_path / "other")]) == 0
    assert len(tree(tmp_path / "other")) == 10 and not (tmp_path / "data").exists()


@pytest.mark.parametrize(("name", "make"), [("ecssd", kvasir), ("kvasir", ecssd), ("duts", ecssd), ("ecssd", duts)])
def test_the_archive_of_another_dataset(
    name: str, make: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refused(capsys, name, zipped(tmp_path / "a.zip", make(tmp_path)))  # type: ignore[operator]
    assert f"name the archives of {name}" in line and not (tmp_path / "data").exists()


def test_what_is_no_archive_and_no_such_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.zip").write_bytes(b"<html>Please log in</html>")
    assert "nothing of 'ecssd'" in refused(capsys, "ecssd", tmp_path / "a.zip")
    os.mkfifo(tmp_path / "fifo")
    assert "no regular file" in refused(capsys, "ecssd", tmp_path / "fifo")
    assert "no regular file" in refused(capsys, "ecssd", tmp_path)
    assert "no such file" in refused(capsys, "ecssd", tmp_path / ("x" * 300))
    archive = zipped(tmp_path / "b.zip", ecssd(tmp_path))
    assert "did you mean 'ecssd'?" in refused(capsys, "ecsd", archive)
    assert "does not say what its archives hold" in refused(capsys, "quickstart", archive)
    assert "name each archive once" in refused(capsys, "ecssd", archive, archive)


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow beyond 300 bytes: writing fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_is_full(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    archive = zipped(tmp_path / "a.zip", ecssd(tmp_path))
    request.getfixturevalue("small_disk")
    assert prepared("ecssd", archive) == 2
    assert list((tmp_path / "data").iterdir()) == []


def test_a_disk_without_room_is_told_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prepare.shutil, "disk_usage", lambda path: prepare.shutil._ntuple_diskusage(9, 8, 1))
    assert "make room" in refused(capsys, "ecssd", zipped(tmp_path / "a.zip", ecssd(tmp_path)))
    assert not (tmp_path / "data").exists()


def test_interrupted_it_leaves_nothing_and_what_a_kill_left_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = zipped(tmp_path / "a.zip", ecssd(tmp_path))
    here = platform.node() or "unnamed"
    left, other = (tmp_path / "data" / f".{name}.{here}.999999999.0a.tmp" for name in ("ecssd", "duts"))
    for folder in (left, other):
        write_image(folder / "images" / "0001.jpg")

    def until_ctrl_c(items: list[object], description: str, total: int) -> Iterator[object]:
        yield from items[:3]
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(prepare, "track", until_ctrl_c)
        assert prepared("ecssd", archive) == 130
    assert listed(tmp_path / "data") == [other.name]
    assert prepared("ecssd", archive) == 0
    assert listed(tmp_path / "data") == [other.name, "ecssd"]


def test_a_target_that_is_made_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = zipped(tmp_path / "a.zip", ecssd(tmp_path))

    def slowly(plan: prepare.Plan, folder: Path, said: str) -> None:
        prepare.unpack(plan, folder, said)
        write_image(tmp_path / "data" / "ecssd" / "mine.jpg")

    monkeypatch.setattr("bench.commands.data.unpack", slowly)
    assert os.strerror(errno.ENOTEMPTY) in refused(capsys, "ecssd", archive)
    assert listed(tmp_path / "data") == ["ecssd"] and listed(tmp_path / "data" / "ecssd") == ["mine.jpg"]
