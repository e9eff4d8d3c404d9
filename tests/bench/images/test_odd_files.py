"""Files that would hang, take all memory or say what they are not: one line each, at once."""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

import bench
from bench.contracts import UserError
from bench.images import read_image, read_map, read_mask, write_map
from tests.bench.conftest import Toy


def npy(shape: tuple[int, ...], dtype: str = "|u1", content: bytes = b"") -> bytes:
    """An array file with any header."""
    header = str({"descr": dtype, "fortran_order": False, "shape": shape}).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content


def saved(values: np.ndarray, save: Callable[..., None] = np.save) -> bytes:
    stream = io.BytesIO()
    save(stream, values)
    return stream.getvalue()


def zipped(*members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, member in enumerate(members):
            archive.writestr(f"{number}.npy", member)
    return stream.getvalue()


def png(width: int, height: int) -> bytes:
    """A picture that is all header."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"none")) + chunk(b"IEND", b"")


def tiffs(count: int) -> bytes:
    """A picture with so many more behind it, each of one entry."""
    stream = io.BytesIO()
    PillowImage.new("L", (8, 8)).save(stream, "TIFF")
    content = bytearray(stream.getvalue())
    first = struct.unpack("<I", content[4:8])[0]
    end = first + 2 + 12 * struct.unpack("<H", content[first : first + 2])[0]
    places = [len(content) + 18 * number for number in range(count)] + [0]
    content[end : end + 4] = struct.pack("<I", places[0])
    return bytes(content) + b"".join(struct.pack("<HHHIII", 1, 254, 4, 1, 0, place) for place in places[1:])


SMALL = np.zeros((4, 5), np.float32)
ODD = {
    "torn header.npy": (saved(SMALL)[:40], "EOF"),
    "torn.npy": (saved(SMALL)[:-3], "its header and its length do not agree"),
    "two arrays.npy": (saved(SMALL) * 2, "its header and its length do not agree"),
    "claims.npy": (npy((13_000, 13_000), content=b"few"), "its header and its length do not agree"),
    "claims more.npy": (npy((10**6, 10**6)), "do not agree"),
    "negative.npy": (npy((-4, -5), content=bytes(20)), r"shape \(-4, -5\)"),
    "objects.npy": (saved(np.array([{}], object)), "an array of object"),
    "pickled.npy": (pickle.dumps([1]), "neither NPY nor NPZ"),
    "text.npz": (b"text", "neither NPY nor NPZ"),
    "two.npz": (zipped(saved(SMALL), saved(SMALL)), "2 arrays in one file"),
    "bomb.npz": (zipped(npy((13_400, 13_400), content=bytes(10**6)) + bytes(10**6)), "do not agree"),
    "large.npz": (zipped(npy((14_000, 14_000), content=bytes(14_000**2))), "more than 178,956,970 pixels"),
    "claims.png": (png(60_000, 60_000), "more than 178,956,970 pixels"),
    "claims.pgm": (b"P5 60000 60000 255\n", "more than 178,956,970 pixels"),
    "hollow.png": (png(13_000, 13_000), "unreadable"),
    "hollow.pgm": (b"P5 13000 13000 255\n", "unreadable"),
    "many.tif": (tiffs(200_000), "several pictures in one file"),
    "program.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture of a type that is read"),
}


@pytest.mark.parametrize("name", ODD)
def test_it_is_one_line_and_takes_no_memory(name: str, tmp_path: Path) -> None:
    content, says = ODD[name]
    path = tmp_path / name
    path.write_bytes(content)
    for read in (read_image, read_map, read_mask):
        tracemalloc.start()
        with pytest.raises(UserError, match=says) as error:
            read(path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert str(path) in str(error.value) and "\n" not in str(error.value)
        assert peak < 2**24 + 3 * len(content)


@pytest.mark.parametrize("suffix", [".png", ".npy", ".jpg", ".tif"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_regular_file_is_not_opened(kind: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    for read in (read_image, read_map, read_mask):
        with pytest.raises(UserError, match=f"a {kind}, where a file is wanted"):
            read(path)


@pytest.mark.parametrize("where", ["csv", "config", "image", "map"])
def test_a_pipe_ends_every_command(where: str, toy: Toy, tmp_path: Path) -> None:
    pipes = {"csv": tmp_path / "p.csv", "config": tmp_path / "b.toml"}
    pipe = pipes.get(where) or getattr(toy, f"{where}s") / "disc3.png"
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    with pytest.raises(UserError, match="a pipe, where a file is wanted"):
        bench.run(
            dataset=[f"folder[csv={pipe}]" if where == "csv" else toy.dataset.replace("]", ",val=0,test=1]")],
            base=[toy.base],
            refiner=["identity"],
            store=tmp_path / "store",
            config=pipe if where == "config" else None,
            engine="inline",
        )


def test_either_array_file_is_read_under_the_others_name(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 20, dtype=np.float32).reshape(4, 5)
    (tmp_path / "zip.npy").write_bytes(saved(values, np.savez))
    (tmp_path / "array.npz").write_bytes(saved(np.asfortranarray(values).astype(">f8")))
    for path in tmp_path.iterdir():
        np.testing.assert_array_equal(read_map(path), values)


@pytest.mark.parametrize("kind", ["masks", "maps", "images"])
def test_sizes_are_compared_before_pixels_are_read(kind: str, toy: Toy, tmp_path: Path) -> None:
    """The file is all header: whoever read its pixels would call it unreadable."""
    (getattr(toy, kind) / "disc3.png").write_bytes(png(13_000, 12_000))
    options = {"refiner": "identity", "images": toy.images, "maps": toy.maps, "out": tmp_path / "out"}
    if kind != "images":
        with pytest.raises(UserError, match="13000x12000"):
            bench.score(toy.masks, toy.maps)
    if kind != "masks":
        with pytest.raises(UserError, match="13000x12000"):
            bench.refine(**options)  # type: ignore[arg-type]


def test_a_turned_photograph_is_of_its_maps_size(toy: Toy, tmp_path: Path) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    with PillowImage.open(toy.images / "disc3.png") as picture:
        picture.transpose(PillowImage.Transpose.ROTATE_90).save(toy.images / "disc3.png", exif=exif)
    assert bench.refine(refiner="identity", images=toy.images, maps=toy.maps, out=tmp_path / "out") == 10
    result = bench.run(
        dataset=[toy.dataset.replace("]", ",val=0,test=1]")],
        base=[toy.base],
        refiner=["identity"],
        store=tmp_path / "store",
        engine="inline",
    )
    assert not result.failures


def test_a_line_carries_no_commands_for_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a\n\x1b[31mred\x9b\u202e.png"
    with pytest.raises(UserError) as error:
        read_map(path)
    assert str(error.value).isprintable() and r"\x1b[31mred\x9b\u202e.png" in str(error.value)


def test_names_that_no_file_system_takes(toy: Toy, tmp_path: Path) -> None:
    long = tmp_path / ("n" * 300)
    table = tmp_path / "pairs.csv"
    for call in (
        lambda: bench.score(long, toy.maps),
        lambda: bench.score(toy.masks, long),
        lambda: bench.refine(refiner="identity", images=toy.images, maps=toy.maps, out=long),
        lambda: bench.run(dataset=[f"folder[csv={long}]"], base=[toy.base], refiner=["identity"]),
    ):
        with pytest.raises(UserError):
            call()
    for id_, says in {
        "n" * 300: "too long",
        "a\x00b": "control characters",
        "a\x07b": "control characters",
        '"a\nb"': "control characters",
        "../a": "'..'",
        "/etc/a": "empty parts",
    }.items():
        table.write_text(f"id,image,mask\n{id_},images/disc1.png,masks/disc1.png\n")
        with pytest.raises(UserError, match=says) as error:
            bench.run(dataset=[f"folder[csv={table}]"], base=[toy.base], refiner=["identity"])
        assert str(error.value).isprintable()


TELLS = """
import sys
from pathlib import Path
from bench.contracts import UserError
from bench.images import read_image
for path in map(Path, sys.argv[1:]):
    try:
        read_image(path)
    except UserError:
        print("refused")
"""


def test_what_pillow_says_of_a_damaged_file_stays_off_stderr(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    PillowImage.new("RGB", (20, 20)).save(path)
    whole = path.read_bytes()
    samples = whole.index(struct.pack("<HHI", 277, 3, 1)) + 8
    path.write_bytes(whole[:samples] + struct.pack("<H", 2048) + whole[samples + 2 :])
    for length in (20, 100):
        (tmp_path / f"{length}.tif").write_bytes(whole[:length])
    files = sorted(str(file) for file in tmp_path.iterdir())
    command = [sys.executable, "-W", "default::UserWarning", "-c", TELLS, *files]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (told.stdout, told.stderr) == ("refused\n" * 3, "")


def test_a_map_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    write_map(path, SMALL)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="cannot write, No space left on device"):
        write_map(path, SMALL + 1)
    assert path.read_bytes() == before and [*tmp_path.iterdir()] == [path]
