"""Archives of others, read without trust: every member is judged before the first byte of one is given out.

Zip by `zipfile`, tar (plain, gzip, bzip2, xz) by `tarfile`, and a plain file, which counts as an archive of itself.
Nothing is ever unpacked by the name that an archive gives it: who reads here says where the bytes go.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from bench.contracts import UserError
from bench.runtime.folders import is_hidden, kind_of

MOST_MEMBERS = 200_000
"""Of one archive."""

MOST_BYTES = 100 * 2**30
"""That the members of one archive may have, unpacked."""

MOST_RATIO = 100
"""Of unpacked to packed bytes, beyond `SMALL`: photographs hardly shrink, and a bomb's zeros do a thousandfold."""

SMALL = 16 * 2**20
"""Bytes that any archive may unpack to."""

LONGEST_NAME = 255
"""Bytes of one part of a path, which is what file systems take."""

CHUNK = 2**20

DAMAGED = "download it again: it is damaged, or no zip and no tar"
UNTRUSTED = "download it from the dataset's authors, or unpack it by hand where you trust it"

_TAR_BLOCK = 512
_LINES_MOST = 2**20
"""Bytes that a tar's extended header may have, which tarfile takes into memory in one piece."""
_ZIP_HEADER = 30
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_ENCRYPTED = 0x1
_COMPRESSED: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
}
_BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, MemoryError),
    *(ValueError, OverflowError, RuntimeError, LookupError, struct.error),  # which slip out of zipfile and tarfile
)
"""What is raised for damaged files."""


@dataclass(frozen=True)
class Member:
    """One file of an archive.

    Attributes:
        name: its path, checked: relative, without ``.`` and ``..``.
        size: bytes, as the archive has it; `Archive.chunks` holds it to that.
        handle: what the archive knows it by.
    """

    name: PurePosixPath
    size: int
    handle: Any


class Archive(ABC):
    """Attributes: path: of the file; members: its files in their order, but for hidden ones."""

    path: Path
    members: Sequence[Member]

    @abstractmethod
    def _open(self, member: Member) -> IO[bytes]: ...

    def chunks(self, member: Member) -> Iterator[bytes]:
        """The member's bytes, counted. To be asked for in the order of `members`: a tar is read from front to back.

        Raises:
            UserError: it is damaged, or has other than the announced number of bytes.
        """
        left = member.size
        with _readable(self.path), self._open(member) as stream:
            while chunk := stream.read(CHUNK):
                left -= len(chunk)
                if left < 0:
                    break
                yield chunk
        if left:
            raise UserError(f"{member.name} has not the {member.size} bytes it announces", self.path, DAMAGED)


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """Open an archive and judge all of its members.

    Raises:
        UserError: it is no regular file, damaged or encrypted; a member is a link or a device, has a name that leaves
            the folder or that not every file system takes, or is there twice; or it unpacks to more than the limits.
    """
    if kind_of(path) != "file":
        what = "no regular file" if kind_of(path) else "no such file"
        raise UserError(what, path, "name the downloaded archive")
    with ExitStack() as stack:
        with _readable(path):
            archive = _archive(path, stack.enter_context(path.open("rb")))
        _check_twice(archive)
        yield archive


def _archive(path: Path, file: IO[bytes]) -> Archive:
    head = file.read(_TAR_BLOCK)
    file.seek(0)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _Zip(path, file)
    for magic, unpacking in _COMPRESSED.items():
        if head.startswith(magic):
            return _Tar(path, unpacking(file))
    return _Tar(path, file) if head[257:262] == b"ustar" else _Plain(path, file)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise UserError(f"unreadable archive, {_said(error)}", path, DAMAGED) from None


def _said(error: Exception) -> str:
    text = "".join(character if character.isprintable() else "?" for character in str(error))
    return text[:120] or type(error).__name__


class _Zip(Archive):
    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self._zip = zipfile.ZipFile(file)
        entries = self._zip.infolist()
        _check_number(len(entries), path)
        members = []
        for entry in entries:
            kind = stat.S_IFMT(entry.external_attr >> 16)
            # What is beyond a NUL is cut off of `filename`.
            name = checked_name(entry.orig_filename, path)
            _check_kind(entry.orig_filename, kind in (0, stat.S_IFREG, stat.S_IFDIR), path)
            if entry.flag_bits & _ENCRYPTED:
                raise UserError("an encrypted archive", path, "decrypt it first")
            if entry.compress_type not in _ZIP_METHODS:
                raise UserError(f"packed by method {entry.compress_type}", path, "pack it anew as zip or tar.gz")
            if not entry.is_dir():
                members.append(Member(name, entry.file_size, entry))
        self._check_apart(entries)
        _check_bytes(sum(member.size for member in members), path)
        self.members = _seen(members)

    def _check_apart(self, entries: Sequence[zipfile.ZipInfo]) -> None:
        """Entries that share their bytes are how a small file unpacks to a huge one."""
        end = 0
        for entry in sorted(entries, key=lambda entry: entry.header_offset):
            if entry.header_offset < end:
                raise UserError(f"members that overlap, {_shown(entry.orig_filename)}", self.path, UNTRUSTED)
            end = entry.header_offset + _ZIP_HEADER + entry.compress_size
        if end > self.path.stat().st_size:
            raise UserError("unreadable archive, its members are longer than the file", self.path, DAMAGED)

    def _open(self, member: Member) -> IO[bytes]:
        return self._zip.open(member.handle)


class _Tar(Archive):
    def __init__(self, path: Path, unpacked: IO[bytes]) -> None:
        self.path = path
        stream = _Counted(unpacked, path)
        self._tar = tarfile.open(fileobj=stream, mode="r:")  # type: ignore[call-overload]  # noqa: SIM115
        members, count = [], 0
        for entry in self._tar:
            _check_number(count := count + 1, path)
            name = checked_name(entry.name, path)
            _check_kind(entry.name, (entry.isreg() and not entry.issparse()) or entry.isdir(), path)
            # Before the next header is looked for: what a compressed member holds is unpacked on the way there.
            stream.announce(entry.size)
            if entry.isreg():
                members.append(Member(name, entry.size, entry))
        # tarfile takes a damaged header, and a file that is cut off before one, for the end.
        stream.seek(self._tar.offset)
        if stream.read(_TAR_BLOCK) != bytes(_TAR_BLOCK):
            raise UserError("unreadable archive, it has no end", path, DAMAGED)
        while stream.read(CHUNK):
            pass  # a compressed file has its checksum at its end
        self.members = _seen(members)

    def _open(self, member: Member) -> IO[bytes]:
        stream: IO[bytes] = self._tar.extractfile(member.handle)
        return stream


class _Plain(Archive):
    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path, self._file = path, file
        self.members = [Member(checked_name(path.name, path), path.stat().st_size, None)]

    def _open(self, member: Member) -> IO[bytes]:
        return self._file


class _Counted:
    """The unpacked bytes of a tar, which end where a limit is passed."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream, self._path = stream, path

    def announce(self, size: int) -> None:
        _check_bytes(self.tell() + max(size, 0), self._path)

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > _LINES_MOST:
            raise UserError("a header of the tar that is too long", self._path, UNTRUSTED)
        data = self._stream.read(size)
        _check_bytes(self.tell(), self._path)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()


def checked_name(name: str, archive: Path) -> PurePosixPath:
    """The path that a member's name stands for.

    Raises:
        UserError: it is absolute, leaves the folder, or has a part that not every file system takes.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    reason = ""
    if name.startswith("/") or ".." in parts or name[1:2] == ":":
        reason = "that leads out of the folder"
    elif "\\" in name or not all(character.isprintable() for character in name):
        reason = "with a backslash or a control character"
    elif any(len(part.encode()) > LONGEST_NAME for part in parts):
        reason = f"longer than {LONGEST_NAME} bytes"
    if reason:
        raise UserError(f"a member's name {reason}, {_shown(name)}", archive, UNTRUSTED)
    return PurePosixPath(*parts)


def same_to_some(name: PurePosixPath) -> str:
    """What two names share that are one to a file system of Windows or of a Mac."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(name)).casefold())


def _check_number(count: int, path: Path) -> None:
    if count > MOST_MEMBERS:
        raise UserError(f"more than {MOST_MEMBERS:,} members", path, UNTRUSTED)


def _check_bytes(count: int, path: Path) -> None:
    packed = path.stat().st_size
    if count > MOST_BYTES:
        raise UserError(f"more than {MOST_BYTES // 2**30} GiB when unpacked", path, UNTRUSTED)
    if count > max(SMALL, MOST_RATIO * packed):
        raise UserError(f"{packed:,} bytes that unpack to more than {MOST_RATIO} times as many", path, UNTRUSTED)


def _check_kind(name: str, plain: bool, path: Path) -> None:
    if not plain:
        raise UserError(f"a member that is a link, a device or the like, {_shown(name)}", path, UNTRUSTED)


def _check_twice(archive: Archive) -> None:
    seen: set[str] = set()
    for member in archive.members:
        name = same_to_some(member.name)
        if name in seen:
            what = f"two members of one name, or that differ in its case alone, {_shown(str(member.name))}"
            raise UserError(what, archive.path, UNTRUSTED)
        seen.add(name)


def _seen(members: Sequence[Member]) -> list[Member]:
    return [member for member in members if member.name.parts and not any(map(is_hidden, member.name.parts))]


def _shown(name: str) -> str:
    """A name that may hold anything, fit for one line."""
    return ascii(name if len(name) <= 80 else f"{name[:40]}...{name[-30:]}")
