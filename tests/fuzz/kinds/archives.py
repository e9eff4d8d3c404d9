"""``bench data prepare`` on damaged archives, and on sound ones with members of any name and type."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import stat
import tarfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.fuzz.damage import damaged
from tests.fuzz.harness import Kind, UnfitError, called

NAMES = (
    "../out.jpg",
    "/tmp/fuzz-out.jpg",
    "images/../../x",
    "C:\\x",
    "a\0b",
    "\x1b[2J",
    "x" * 300,
    "images",
    "",
    ".",
    "..",
)
TYPES = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.REGTYPE, b"V")
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "tar.gz": partial(gzip.compress, mtime=0),  # a seed gives the same bytes at any time
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
}
SUFFIXES = ("zip", *PACKED)


def make(rng: random.Random, folder: Path) -> Path:
    members = [
        (f"{top}/{number:04d}.{end}", rng.randbytes(rng.randrange(200)))
        for number in range(rng.randrange(1, 6))
        for top, end in (("images", "jpg"), ("masks", "png"))
    ]
    if rng.random() < 0.4:
        members.insert(rng.randrange(len(members)), (rng.choice(NAMES), b"x" * rng.choice((0, 9, 10**6))))
    suffix = rng.choice(SUFFIXES)
    stream = io.BytesIO()
    (_zip if suffix == "zip" else _tar)(stream, members, suffix, rng)
    data = stream.getvalue()
    path = folder / f"archive.{suffix}"
    path.write_bytes(damaged(data, rng) if rng.random() < 0.7 else data)
    return path


def _zip(stream: io.BytesIO, members: list[tuple[str, bytes]], suffix: str, rng: random.Random) -> None:
    with zipfile.ZipFile(stream, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA))) as out:
        for name, data in members:
            entry = zipfile.ZipInfo(name)
            entry.compress_type = out.compression
            if rng.random() < 0.05:
                entry.external_attr = rng.choice((stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR)) << 16
            out.writestr(entry, data)


def _tar(stream: io.BytesIO, members: list[tuple[str, bytes]], suffix: str, rng: random.Random) -> None:
    form = rng.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=form) as out:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            if rng.random() < 0.05:
                entry.type, entry.linkname = rng.choice(TYPES), rng.choice(("/etc/passwd", "../../x", "images"))
            out.addfile(entry, io.BytesIO(data))
    stream.write(PACKED[suffix](plain.getvalue()))


def door(path: Path) -> bool:
    read = called(["data", "prepare", "ecssd", "--archive", str(path), "--root", str(path.parent / "data")])
    left = [found for found in path.parent.rglob("*") if found.is_file() and found != path]
    if not read and left:
        raise UnfitError(f"refused, and yet written: {left[:3]}")
    return read


KIND = Kind(500, make, door)
