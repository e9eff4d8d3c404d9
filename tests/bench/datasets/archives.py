"""Archives as a dataset's authors publish them, a few pairs each, and such as nobody should."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from tests.bench.datasets.files import write_image, write_mask

Files = Mapping[str, bytes]


def ecssd(tmp_path: Path, pairs: int = 5) -> dict[str, bytes]:
    """``images/0001.jpg`` with ``masks/0001.png`` and so on."""
    return {
        name: write(tmp_path / "made" / name).read_bytes()
        for number in range(1, pairs + 1)
        for name, write in ((f"images/{number:04d}.jpg", write_image), (f"masks/{number:04d}.png", write_mask))
    }


def below(folder: str, files: Files) -> dict[str, bytes]:
    return {f"{folder}/{name}": data for name, data in files.items()}


def zipped(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, files: Files, *odd: tarfile.TarInfo) -> Path:
    """By the suffix: ``.tar``, ``.tar.gz``, ``.tar.bz2`` or ``.tar.xz``; ``odd`` are members without contents."""
    packing = path.suffix.removeprefix(".").replace("tar", "")
    with tarfile.open(path, f"w:{packing}") as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for member in odd:
            archive.addfile(member)
    return path


def member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """A link, a device and the like."""
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, target
    return found


def tree(folder: Path) -> dict[str, bytes]:
    """All that lies below a folder, hidden or not."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }
