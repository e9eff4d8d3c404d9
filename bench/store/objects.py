"""Where the bytes of a store lie: a folder, or a prefix of an object store. One interface for both.

Objects have names like ``cells/x.json`` and appear whole or not at all. Several processes on several machines may
write: of all that `create` one name exactly one succeeds, which is all that the rest of the store relies on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from bench.contracts import UserError

WORK = "work"
"""The folder, of `Objects.local`, of all that is under way."""


class Objects(Protocol):
    """The objects of one store.

    Everything raises UserError where the folder or the server does not do as it should (see `answering`), and what
    reads an object FileNotFoundError where there is none.

    Attributes:
        address: the folder's path or the URL; what ``--store`` takes.
        local: a folder on this machine, for work under way and copies; that of a folder store is the store itself.
    """

    address: str
    local: Path

    def read(self, name: str) -> bytes: ...

    def path(self, name: str) -> Path:
        """The object as a file on this machine, fetched where it is not."""
        ...

    def create(self, name: str, content: bytes) -> bool:
        """Write a new object. False where the name is taken; then nothing changes."""
        ...

    def replace(self, name: str, content: bytes) -> None:
        """Write an object, new or over what is there."""
        ...

    def update(self, name: str, change: Callable[[bytes], bytes | None]) -> bool:
        """Write over an object that is there, unless it is removed, or made anew, between the look and the write.

        Args:
            change: what it holds -> what it is to hold; None leaves it.

        Returns:
            Whether it was written.
        """
        ...

    def publish(self, folder: Path, name: str) -> bool:
        """Make a folder of `local` the folder of that name, whole. False where it is there already."""
        ...

    def fetch(self, name: str) -> Path | None:
        """A folder that was published, on this machine; None where there is none."""
        ...

    def withdraw(self, name: str) -> None:
        """Remove a folder that was published, if it is there."""
        ...

    def delete(self, name: str) -> None:
        """Remove an object, if it is there."""
        ...

    def names(self, prefix: str) -> list[str]:
        """The names that begin so, sorted, without those of folders further down: ``"cells/"``, ``"cells/ab12"``."""
        ...

    def tree(self, name: str) -> list[str]:
        """The names of all in a folder and in those further down, sorted."""
        ...

    def folders(self, name: str) -> list[str]:
        """The names of the folders in a folder, sorted; published ones, too."""
        ...

    def orphans(self) -> list[str]:
        """The names of objects that were part of a folder which was withdrawn, or never published."""
        ...

    def sweep(self) -> None:
        """Remove what processes of this machine that were killed have left half-written."""
        ...


@contextmanager
def answering(where: object) -> Iterator[None]:
    """OSError -> UserError within the block: a full disk, a lost network, a folder that was deleted meanwhile."""
    try:
        yield
    except OSError as error:
        place = error.filename if isinstance(error.filename, str) else where
        raise UserError(f"the store cannot be used, {error.strerror or error}", place, RESUME) from None


RESUME = "mend that, then run the same command again: it goes on where this one stopped"
"""What to do about a store that fails."""
