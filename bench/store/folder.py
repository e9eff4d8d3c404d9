"""A store in a folder, of a local disk or one that several machines mount (NFS, Lustre)."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.runtime.files import flush, sweep_folder, temporary
from bench.store.objects import WORK, answering

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class FolderObjects:
    """`bench.store.objects.Objects` of a folder, which need not exist."""

    def __init__(self, root: Path) -> None:
        self.local, self.address = root.absolute(), str(root.absolute())

    def read(self, name: str) -> bytes:
        path = self.path(name)
        with answering(path), suppress(FileNotFoundError, NotADirectoryError):
            return path.read_bytes()
        raise FileNotFoundError(name)

    def path(self, name: str) -> Path:
        return self.local / name

    def create(self, name: str, content: bytes) -> bool:
        with self._written(name, content) as (path, target):
            return _linked(path, target)

    def replace(self, name: str, content: bytes) -> None:
        with self._written(name, content) as (path, target):
            path.replace(target)

    def update(self, name: str, change: Callable[[bytes], bytes | None]) -> bool:
        with answering(self.path(name)):
            try:
                with self.path(name).open("r+b", buffering=0) as stream:
                    before = stream.read()
                    after = change(before)
                    if after is None:
                        return False
                    stream.seek(0)
                    # In one piece, and never shorter: who reads meanwhile meets no end of what was there before.
                    stream.write(after.ljust(len(before)))
            except (FileNotFoundError, NotADirectoryError):
                return False
            return True  # of one that was removed meanwhile nobody reads what was written

    def publish(self, folder: Path, name: str) -> bool:
        target = self.path(name)
        with answering(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                folder.rename(target)  # over an empty folder, but no other
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    return False
                raise
        return True

    def fetch(self, name: str) -> Path | None:
        return self.path(name) if self.path(name).is_dir() else None

    def withdraw(self, name: str) -> None:
        with answering(self.path(name)):
            if self.path(name).exists():
                # First out of the way, so that nobody meets half of it.
                aside = self._work() / f".{self.path(name).name}.{os.urandom(4).hex()}.old"
                self.path(name).rename(aside)
                shutil.rmtree(aside, ignore_errors=True)

    def delete(self, name: str) -> None:
        with answering(self.path(name)):
            self.path(name).unlink(missing_ok=True)

    def names(self, prefix: str) -> list[str]:
        folder, _, start = prefix.rpartition("/")
        entries = self._entries(folder)
        return [f"{folder}/{name}" for name, is_folder in entries if name.startswith(start) and not is_folder]

    def tree(self, name: str) -> list[str]:
        entries = self._entries(name)
        deeper = [found for entry, is_folder in entries if is_folder for found in self.tree(f"{name}/{entry}")]
        return sorted([*(f"{name}/{entry}" for entry, is_folder in entries if not is_folder), *deeper])

    def folders(self, name: str) -> list[str]:
        return [f"{name}/{entry}".lstrip("/") for entry, is_folder in self._entries(name) if is_folder]

    def orphans(self) -> list[str]:
        return []

    def sweep(self) -> None:
        with answering(self.local / WORK):
            sweep_folder(self.local / WORK)
        for left in (self.local / WORK).glob(".*.old"):
            shutil.rmtree(left, ignore_errors=True)

    def _entries(self, folder: str) -> list[tuple[str, bool]]:
        with answering(self.path(folder)):
            try:
                with os.scandir(self.path(folder)) as entries:
                    return sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))
            except (FileNotFoundError, NotADirectoryError):
                return []

    @contextmanager
    def _written(self, name: str, content: bytes) -> Iterator[tuple[Path, Path]]:
        """The content under a temporary name, and the name that it is for."""
        target = self.path(name)
        with answering(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with temporary(self._work() / target.name) as path:
                path.write_bytes(content)
                flush(path)
                yield path, target

    def _work(self) -> Path:
        """What is half-written lies here alone, on the same file system: nothing of it is beside what is finished."""
        folder = self.local / WORK
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def _linked(path: Path, target: Path) -> bool:
    """Give the file its name too, if nobody has it; one of several processes can, on NFS as well."""
    try:
        os.link(path, target)
    except FileExistsError:
        # A server's answer may be lost and the request be sent again: the second finds what the first has done.
        return path.stat().st_nlink == 2
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return _copied(path, target)
    return True


def _copied(path: Path, target: Path) -> bool:
    """As `_linked` where a file system has no links. One that is killed here leaves a torn file: its digest tells."""
    try:
        with target.open("xb") as stream:
            stream.write(path.read_bytes())
    except FileExistsError:
        return False
    return True
