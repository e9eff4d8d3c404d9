"""Disks that are full and folders that cannot be written: one line, nothing half-written, whole once that is mended."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bench
from bench.cli import main
from bench.images import read_map
from tests.bench.conftest import Toy


@contextmanager
def full_disk(most: int) -> Iterator[None]:
    """No file grows beyond so many bytes."""
    before, told = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, told)


@pytest.fixture
def commands(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[Path], list[str]]]:
    monkeypatch.chdir(tmp_path)
    bench.run(dataset=[toy.dataset], base=[toy.base], refiner=["identity"], store="store", engine="inline")
    maps = [str(argument) for argument in ("--maps", toy.maps)]
    return {
        "predict": lambda out: ["predict", "--dataset", toy.dataset, "--base", toy.base, "--out", f"{out}"],
        "refine": lambda out: [
            "refine",
            "--refiner",
            "identity",
            "--images",
            f"{toy.images}",
            *maps,
            "--out",
            f"{out}",
        ],
        "score": lambda out: ["score", "--masks", f"{toy.masks}", *maps, "--out", f"{out / 'scores.csv'}"],
        "report": lambda out: ["report", "--store", "store", "--markdown", "--out", f"{out}"],
        "new": lambda out: ["new", "refiner", "edge-median", "--out", f"{out}"],
    }


NAMES = ["predict", "refine", "score", "report", "new"]


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk(name: str, commands: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command, out = commands[name], tmp_path / "out"
    capsys.readouterr()
    with full_disk(300):
        assert main(command(out)) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("bench: error: cannot write, File too large (") and "--out" in error
    assert [file for file in files(out) if not file.startswith(".bench-refine")] == []
    assert main(command(out)) == 0
    assert main(command(tmp_path / "calm")) == 0
    assert [Path(file).suffix for file in files(out)] == [Path(file).suffix for file in files(tmp_path / "calm")]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", ["file", "/proc"])
def test_a_place_that_takes_no_folder(
    name: str, place: str, commands: dict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    capsys.readouterr()
    assert main(commands[name]((tmp_path / place) / "out")) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("bench: error: ")
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_torn_map_is_predicted_again(toy: Toy, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert bench.predict(dataset=toy.dataset, base=toy.base, out=out) == 10
    whole, torn, hollow = (out / f"disc{n}.png" for n in range(3))
    Image.fromarray(np.zeros((24, 20), np.uint16)).save(whole)  # another's: it stays
    torn.write_bytes(torn.read_bytes()[:-20])
    content = bytearray(hollow.read_bytes())
    content[60:80] = bytes(20)
    hollow.write_bytes(content)
    (out / ".disc1.png.tmp").write_bytes(b"half")
    assert bench.predict(dataset=toy.dataset, base=toy.base, out=out) == 10
    assert not read_map(whole).any()
    for path in (torn, hollow):
        np.testing.assert_array_equal(read_map(path), read_map(toy.maps / path.name))
